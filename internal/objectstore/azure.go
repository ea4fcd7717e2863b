package objectstore

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

type azureStore struct {
	container *container.Client
}

func openAzure(config storeconfig.Config) (Store, error) {
	transport, err := newTransport(config)
	if err != nil {
		return nil, err
	}

	options := &container.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: &http.Client{Transport: transport},
		Retry:     policy.RetryOptions{MaxRetries: -1}, // ours is around this
	}}

	client, err := azureClient(config, options)
	if err != nil {
		return nil, err
	}

	return &azureStore{container: client}, nil
}

// azureClient picks the way in: a connection string, the account's key, a SAS token, or an identity.
func azureClient(config storeconfig.Config, options *container.ClientOptions) (*container.Client, error) {
	files := config.Credentials

	connection, err := azureValue(files, files.AzureConnectionStringFile, "AZURE_STORAGE_CONNECTION_STRING")
	if err != nil {
		return nil, err
	}

	if connection != "" {
		return container.NewClientFromConnectionString(connection, config.Bucket, options)
	}

	account, err := azureValue(files, files.AzureAccountFile, "AZURE_STORAGE_ACCOUNT")
	if err != nil {
		return nil, err
	}

	account = cmp.Or(config.Account, account)
	if account == "" && config.Endpoint == "" {
		return nil, fmt.Errorf("%w Azure configuration: no storage account; name it in the URL, the credentials or AZURE_STORAGE_ACCOUNT", ErrInvalid)
	}

	address := cmp.Or(strings.TrimSuffix(config.Endpoint, "/"), "https://"+account+".blob.core.windows.net") + "/" + config.Bucket

	return azureClientFor(config, address, account, options)
}

func azureClientFor(config storeconfig.Config, address, account string, options *container.ClientOptions) (*container.Client, error) {
	files := config.Credentials
	if files.Anonymous {
		return container.NewClientWithNoCredential(address, options)
	}

	key, err := azureValue(files, files.AzureKeyFile, "AZURE_STORAGE_KEY")
	if err != nil {
		return nil, err
	}

	if key != "" {
		shared, err := container.NewSharedKeyCredential(account, key)
		if err != nil {
			return nil, fmt.Errorf("%w Azure account key: %w", ErrInvalid, err)
		}

		return container.NewClientWithSharedKeyCredential(address, shared, options)
	}

	token, err := azureValue(files, files.AzureSASTokenFile, "AZURE_STORAGE_SAS_TOKEN")
	if err != nil {
		return nil, err
	}

	if token != "" {
		return container.NewClientWithNoCredential(address+"?"+strings.TrimPrefix(token, "?"), options)
	}

	identity, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: options.ClientOptions})
	if err != nil {
		return nil, fmt.Errorf("%w: Azure identity: %w", ErrDenied, err)
	}

	return container.NewClient(address, identity, options)
}

// azureValue is a credential from its file, or from the environment where no files are configured at all.
func azureValue(files storeconfig.Credentials, name, variable string) (string, error) {
	if name != "" {
		return readValue(name)
	}

	if files == (storeconfig.Credentials{}) {
		return os.Getenv(variable), nil
	}

	return "", nil
}

func (s *azureStore) Put(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, key, data, nil)
}

func (s *azureStore) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, key, data, &blob.AccessConditions{
		ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)},
	})
}

func (s *azureStore) put(ctx context.Context, key string, data []byte, conditions *blob.AccessConditions) error {
	_, err := s.container.NewBlockBlobClient(key).Upload(ctx, newBody(ctx, data), &blockblob.UploadOptions{
		AccessConditions:        conditions,
		TransactionalValidation: blob.TransferValidationTypeMD5{},
	})

	return azureError("put", key, err)
}

func (s *azureStore) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if length == 0 {
		return http.NoBody, nil
	}

	// A count of 0 is "to the end" to the SDK.
	out, err := s.container.NewBlobClient(key).DownloadStream(ctx, &blob.DownloadStreamOptions{
		Range: blob.HTTPRange{Offset: offset, Count: max(0, length)},
	})
	if err != nil {
		return nil, azureError("get", key, err)
	}

	return out.Body, nil
}

func (s *azureStore) Head(ctx context.Context, key string) (Info, error) {
	out, err := s.container.NewBlobClient(key).GetProperties(ctx, nil)
	if err != nil {
		return Info{}, azureError("head", key, err)
	}

	return azureInfo(key, out.ContentLength, out.ETag, out.LastModified), nil
}

func (s *azureStore) List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		options := &container.ListBlobsFlatOptions{Prefix: &prefix}
		if startAfter != "" {
			options.StartFrom = &startAfter
		}

		for pages := s.container.NewListBlobsFlatPager(options); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Info{}, azureError("list", prefix, err))

				return
			}

			for _, item := range page.Segment.BlobItems {
				// StartFrom is inclusive, and older services do not know it.
				if item.Name == nil || *item.Name <= startAfter || item.Properties == nil {
					continue
				}

				p := item.Properties
				if !yield(azureInfo(*item.Name, p.ContentLength, p.ETag, p.LastModified), nil) {
					return
				}
			}
		}
	}
}

func (s *azureStore) Delete(ctx context.Context, key string) error {
	_, err := s.container.NewBlobClient(key).Delete(ctx, nil)

	return ignoreNotFound(azureError("delete", key, err))
}

// azureError sorts what the SDK gives back.
func azureError(op, key string, err error) error {
	if err == nil {
		return nil
	}

	wrapped := fmt.Errorf("%s %s: %w", op, key, err)

	response, ok := asError[*azcore.ResponseError](err)
	if !ok {
		return wrapped
	}

	switch {
	case bloberror.HasCode(err, bloberror.ContainerNotFound, bloberror.ContainerBeingDeleted):
		return fmt.Errorf("%s %s: %w", op, key, ErrNoBucket)
	case response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s %s: %w (%s)", op, key, ErrNotFound, response.ErrorCode)
	case response.StatusCode == http.StatusPreconditionFailed,
		bloberror.HasCode(err, bloberror.BlobAlreadyExists, bloberror.UnauthorizedBlobOverwrite):
		return fmt.Errorf("%s %s: %w", op, key, ErrExists)
	default:
		return sortStatus(response.StatusCode, response.ErrorCode, wrapped)
	}
}

func azureInfo(key string, size *int64, etag *azcore.ETag, modified *time.Time) Info {
	info := Info{Key: key}
	if size != nil {
		info.Size = *size
	}

	if etag != nil {
		info.ETag = string(*etag)
	}

	if modified != nil {
		info.Modified = *modified
	}

	return info
}
