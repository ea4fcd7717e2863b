package operator

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedauthenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	typedauthorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// metricsAccess lets those read metrics whom the API server knows and allows to get the non-resource URL. It does what
// controller-runtime's filter does, without linking a whole API server library.
type metricsAccess struct {
	tokens  typedauthenticationv1.TokenReviewInterface
	reviews typedauthorizationv1.SubjectAccessReviewInterface
}

// withMetricsAccess is a filter provider for the metrics server.
func withMetricsAccess(config *rest.Config, httpClient *http.Client) (metricsserver.Filter, error) {
	authentication, err := typedauthenticationv1.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("make a client for token reviews: %w", err)
	}

	authorization, err := typedauthorizationv1.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("make a client for access reviews: %w", err)
	}

	access := &metricsAccess{tokens: authentication.TokenReviews(), reviews: authorization.SubjectAccessReviews()}

	return access.filter, nil
}

func (m *metricsAccess) filter(logger logr.Logger, next http.Handler) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !found {
			http.Error(w, "send a bearer token", http.StatusUnauthorized)

			return
		}

		user, err := m.authenticate(r.Context(), token)
		if err != nil {
			logger.Error(err, "Cannot review a token")
			http.Error(w, "the token cannot be reviewed now", http.StatusInternalServerError)

			return
		}

		if user == nil {
			http.Error(w, "the token is not valid", http.StatusUnauthorized)

			return
		}

		allowed, err := m.authorize(r.Context(), user, r.URL.Path)
		if err != nil {
			logger.Error(err, "Cannot review access", "user", user.Username)
			http.Error(w, "access cannot be reviewed now", http.StatusInternalServerError)

			return
		}

		if !allowed {
			http.Error(w, user.Username+" may not get "+r.URL.Path, http.StatusForbidden)

			return
		}

		next.ServeHTTP(w, r)
	}), nil
}

// authenticate is nil for a token that is not valid.
func (m *metricsAccess) authenticate(ctx context.Context, token string) (*authenticationv1.UserInfo, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}

	review, err := m.tokens.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create a TokenReview: %w", err)
	}

	if !review.Status.Authenticated {
		return nil, nil //nolint:nilnil // nobody, and nothing went wrong
	}

	return &review.Status.User, nil
}

func (m *metricsAccess) authorize(ctx context.Context, user *authenticationv1.UserInfo, path string) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}

	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
	}}

	review, err := m.reviews.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("create a SubjectAccessReview: %w", err)
	}

	return review.Status.Allowed, nil
}
