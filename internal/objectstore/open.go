package objectstore

import (
	"context"
	"fmt"
)

// Open gives the store that a configuration names, with retries. It makes no request: whether the store answers is found
// out by the first operation, or by Probe.
func Open(ctx context.Context, config Config) (Store, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}

	store, err := openDriver(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", config, err)
	}

	return Within(store, config.Prefix), nil
}

func openDriver(_ context.Context, config Config) (Store, error) {
	switch config.Type {
	case TypeDir:
		return openDir(config)
	case TypeS3, TypeGCS, TypeAzure:
		return nil, fmt.Errorf("%w: stores of type %s are not built in yet", ErrInvalid, config.Type)
	default:
		return nil, fmt.Errorf("%w store type %q", ErrInvalid, config.Type)
	}
}
