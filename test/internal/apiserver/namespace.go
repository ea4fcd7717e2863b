package apiserver

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Namespace makes a namespace for one test and deletes it at the test's end.
func (s *Server) Namespace(t *testing.T) string {
	t.Helper()

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "api-"}}
	if err := s.Client.Create(t.Context(), ns); err != nil {
		t.Fatalf("create namespace: %v", err)
	}

	t.Cleanup(func() {
		if err := s.Client.Delete(context.Background(), ns); err != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})

	return ns.Name
}
