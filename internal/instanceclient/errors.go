package instanceclient

import (
	"errors"
	"fmt"
	"net/url"
)

// UnreachableError says that an instance gave no usable answer: not running, network, certificates, or too slow.
type UnreachableError struct {
	// Instance that was asked.
	Instance string
	// Err is the cause.
	Err error
}

// Error names the instance and the cause.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("instance %s cannot be reached: %v", e.Instance, e.Err)
}

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// RefusedError says that an instance understood the request and will not do it.
type RefusedError struct {
	// Instance that was asked.
	Instance string
	// StatusCode of the HTTP answer: 403 without the right client certificate, 409 when the moment is wrong, 422 when
	// the request cannot be used.
	StatusCode int
	// Message is the instance's own explanation.
	Message string
}

// Error names the instance and its explanation.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("instance %s refused (%d): %s", e.Instance, e.StatusCode, e.Message)
}

// IsUnreachable says whether an error means that the instance gave no usable answer.
func IsUnreachable(err error) bool {
	var unreachable *UnreachableError

	return errors.As(err, &unreachable)
}

// IsRefused says whether an error means that the instance will not do what was asked.
func IsRefused(err error) bool {
	var refused *RefusedError

	return errors.As(err, &refused)
}

// plain takes off the method and URL that net/http puts before a cause; the caller names the instance instead.
func plain(err error) error {
	if urlError, ok := errors.AsType[*url.Error](err); ok {
		return urlError.Err
	}

	return err
}
