package objectstore

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// Open gives the store that a configuration names, with retries. It makes no request: whether the store answers is found
// out by the first operation, or by Probe. When one of the credentials' files changes, the next operation uses it.
func Open(ctx context.Context, config storeconfig.Config) (Store, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}

	driver, err := openDriver(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", config, err)
	}

	if len(config.Files()) > 0 {
		driver = &reopening{config: config, driver: driver, files: fingerprint(config.Files())}
	}

	return Within(WithRetries(driver, config.Timeouts), config.Prefix), nil
}

func openDriver(ctx context.Context, config storeconfig.Config) (Store, error) {
	switch config.Type {
	case storeconfig.TypeDir:
		return openDir(config)
	case storeconfig.TypeS3:
		return openS3(ctx, config)
	case storeconfig.TypeGCS:
		return openGCS(ctx, config)
	case storeconfig.TypeAzure:
		return openAzure(config)
	default:
		return nil, fmt.Errorf("%w store type %q", ErrInvalid, config.Type)
	}
}

// reopening opens the driver anew when the credentials' files have changed. A Secret's volume changes by a link that is
// switched, so that all of its files change together.
type reopening struct {
	config storeconfig.Config

	mu     sync.Mutex
	driver Store
	files  string // their fingerprint
}

// fingerprint of files: what changes when they are written or replaced.
func fingerprint(names []string) string {
	var out strings.Builder

	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&out, "%d %d;", info.ModTime().UnixNano(), info.Size())
		} else {
			out.WriteString("missing;")
		}
	}

	return out.String()
}

func (r *reopening) current(ctx context.Context) (Store, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	now := fingerprint(r.config.Files())
	if now == r.files {
		return r.driver, nil
	}

	// The driver lives longer than the operation that opened it.
	driver, err := openDriver(context.WithoutCancel(ctx), r.config)
	if err != nil {
		return nil, fmt.Errorf("open %s with its changed credentials: %w", r.config, err)
	}

	r.driver, r.files = driver, now

	return driver, nil
}

func (r *reopening) Put(ctx context.Context, key string, data []byte) error {
	driver, err := r.current(ctx)
	if err != nil {
		return err
	}

	return driver.Put(ctx, key, data)
}

func (r *reopening) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	driver, err := r.current(ctx)
	if err != nil {
		return err
	}

	return driver.PutIfAbsent(ctx, key, data)
}

func (r *reopening) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	driver, err := r.current(ctx)
	if err != nil {
		return nil, err
	}

	return driver.GetRange(ctx, key, offset, length)
}

func (r *reopening) Head(ctx context.Context, key string) (Info, error) {
	driver, err := r.current(ctx)
	if err != nil {
		return Info{}, err
	}

	return driver.Head(ctx, key)
}

func (r *reopening) List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error] {
	driver, err := r.current(ctx)
	if err != nil {
		return func(yield func(Info, error) bool) { yield(Info{}, err) }
	}

	return driver.List(ctx, prefix, startAfter)
}

func (r *reopening) Delete(ctx context.Context, key string) error {
	driver, err := r.current(ctx)
	if err != nil {
		return err
	}

	return driver.Delete(ctx, key)
}
