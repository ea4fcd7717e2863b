package objectstore

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"net/http"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	htransport "google.golang.org/api/transport/http"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

type gcsStore struct {
	client *storage.Client
	bucket *storage.BucketHandle
}

func openGCS(ctx context.Context, config storeconfig.Config) (Store, error) {
	transport, err := newTransport(config)
	if err != nil {
		return nil, err
	}

	options := []option.ClientOption{storage.WithJSONReads(), option.WithScopes(storage.ScopeReadWrite)}

	switch {
	case config.Credentials.Anonymous:
		options = append(options, option.WithoutAuthentication())
	case config.Credentials.GoogleFile != "":
		options = append(options, option.WithAuthCredentialsFile(option.ServiceAccount, config.Credentials.GoogleFile))
	default:
	}

	if config.Endpoint != "" {
		options = append(options, option.WithEndpoint(strings.TrimSuffix(config.Endpoint, "/")+"/storage/v1/"))
	}

	// The client with our own transport below and Google's authentication above it.
	roundTripper, err := htransport.NewTransport(ctx, transport, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: Google credentials: %w", ErrDenied, err)
	}

	client, err := storage.NewClient(ctx, append(options, option.WithHTTPClient(&http.Client{Transport: roundTripper}))...)
	if err != nil {
		return nil, fmt.Errorf("%w: Google client: %w", ErrInvalid, err)
	}

	client.SetRetry(storage.WithPolicy(storage.RetryNever))

	return &gcsStore{client: client, bucket: client.Bucket(config.Bucket)}, nil
}

func (s *gcsStore) Put(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, s.bucket.Object(key), data)
}

func (s *gcsStore) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, s.bucket.Object(key).If(storage.Conditions{DoesNotExist: true}), data)
}

// crc32c is what GCS checks uploads by.
func crc32c(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

func (*gcsStore) put(ctx context.Context, object *storage.ObjectHandle, data []byte) error {
	// An upload that is cut off becomes an object only when Close returned nil, and is dropped when the context ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	writer := object.NewWriter(ctx)
	writer.ChunkSize = 0 // one request
	writer.ContentType = "application/octet-stream"
	writer.CRC32C, writer.SendCRC32C = crc32c(data), true

	if _, err := io.Copy(writer, newBody(ctx, data)); err != nil {
		cancel()

		return gcsError("put", object.ObjectName(), errors.Join(err, writer.Close()))
	}

	return gcsError("put", object.ObjectName(), writer.Close())
}

func (s *gcsStore) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	reader, err := s.bucket.Object(key).NewRangeReader(ctx, offset, length)
	if err != nil {
		return nil, gcsError("get", key, err)
	}

	return reader, nil
}

func gcsInfo(attrs *storage.ObjectAttrs) Info {
	return Info{Key: attrs.Name, Size: attrs.Size, ETag: attrs.Etag, Modified: attrs.Updated}
}

func (s *gcsStore) Head(ctx context.Context, key string) (Info, error) {
	attrs, err := s.bucket.Object(key).Attrs(ctx)
	if err != nil {
		return Info{}, gcsError("head", key, err)
	}

	return gcsInfo(attrs), nil
}

func (s *gcsStore) List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		query := &storage.Query{Prefix: prefix, StartOffset: startAfter, Projection: storage.ProjectionNoACL}
		if err := query.SetAttrSelection([]string{"Name", "Size", "Etag", "Updated"}); err != nil {
			yield(Info{}, gcsError("list", prefix, err))

			return
		}

		for objects := s.bucket.Objects(ctx, query); ; {
			attrs, err := objects.Next()
			if errors.Is(err, iterator.Done) {
				return
			}

			if err != nil {
				yield(Info{}, gcsError("list", prefix, err))

				return
			}

			// StartOffset is inclusive.
			if attrs.Name > startAfter && !yield(gcsInfo(attrs), nil) {
				return
			}
		}
	}
}

func (s *gcsStore) Delete(ctx context.Context, key string) error {
	return ignoreNotFound(gcsError("delete", key, s.bucket.Object(key).Delete(ctx)))
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}

	return err
}

// gcsError sorts what the SDK gives back.
func gcsError(op, key string, err error) error {
	if err == nil {
		return nil
	}

	if errors.Is(err, storage.ErrBucketNotExist) || op == "list" && errors.Is(err, storage.ErrObjectNotExist) {
		return fmt.Errorf("%s %s: %w", op, key, ErrNoBucket)
	}

	if errors.Is(err, storage.ErrObjectNotExist) {
		return fmt.Errorf("%s %s: %w", op, key, ErrNotFound)
	}

	wrapped := fmt.Errorf("%s %s: %w", op, key, err)

	api, ok := asError[*googleapi.Error](err)
	if !ok {
		return wrapped
	}

	switch api.Code {
	case http.StatusNotFound:
		if op == "list" || op == "put" {
			return fmt.Errorf("%s %s: %w", op, key, ErrNoBucket)
		}

		return fmt.Errorf("%s %s: %w", op, key, ErrNotFound)
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%s %s: %w", op, key, ErrExists)
	default:
		code := ""
		if len(api.Errors) > 0 {
			code = api.Errors[0].Reason
		}

		return sortStatus(api.Code, code, wrapped)
	}
}
