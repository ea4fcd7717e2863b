package build

import (
	"encoding/json"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

func TestRestoreJob(t *testing.T) {
	t.Parallel()

	backup := &v1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "nightly", UID: "1"}}
	backup.Spec.Source = v1.BackupSource{Type: v1.SourceMySQL, Connection: v1.SourceConnection{ClusterRef: &v1.ClusterReference{Name: "orders"}, Database: "app"}}
	backup.Spec.Destination = v1.BackupDestination{Type: v1.DestinationS3, Bucket: "dumps"}
	template := ImmediateJob(Input{Backup: backup, Image: "mysql:9.7"}).Spec.Template

	told := func(restore Restore) (archiveapi.DumpServer, []string) {
		job := RestoreJob(backup, template, restore)
		if job.Labels[naming.LabelDump] != "" || job.Spec.Template.Labels[naming.LabelDump] != "" || *job.Spec.BackoffLimit != 0 {
			t.Errorf("it would be taken for a dump, or tried again: %+v", job)
		}

		var config archiveapi.Dump
		if err := json.Unmarshal([]byte(job.Spec.Template.Spec.Containers[0].Env[0].Value), &config); err != nil {
			t.Fatal(err)
		}

		return *config.Target, job.Spec.Template.Spec.Containers[0].Command
	}

	target, command := told(Restore{Dump: "latest"})
	if target.Database != "app" || target.SecretDir != archiveapi.DumpSourceDir || !slices.Equal(command[1:], []string{"dump-restore", "latest"}) {
		t.Errorf("to the source: %+v, %v", target, command)
	}

	if target, _ = told(Restore{Dump: "latest", Database: "copy"}); target.Database != "copy" || target.SecretDir != archiveapi.DumpSourceDir {
		t.Errorf("to another database: %+v", target)
	}

	target, command = told(Restore{Dump: "x", Secret: "other", IdentitySecret: "age", Arguments: []string{"--force"}})
	if target.Database != "" || target.Host != "" || target.SecretDir != archiveapi.DumpTargetDir {
		t.Errorf("to another server: %+v", target)
	}

	if !slices.Equal(command[1:], []string{"dump-restore", "x", "--identities=/opt/caretaker/identity/identity", "--", "--force"}) {
		t.Errorf("the command is %v", command)
	}

	if len(template.Spec.Volumes) != 3 || template.Spec.Containers[0].Command[1] != "dump" {
		t.Error("the template was changed")
	}
}
