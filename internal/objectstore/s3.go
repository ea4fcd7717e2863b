package objectstore

import (
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // what S3 checks uploads by, where buckets have object lock; no secret hangs on it
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// defaultRegion is what S3-compatible stores without regions expect.
const defaultRegion = "us-east-1"

type s3Store struct {
	client *s3.Client
	bucket string
	sse    types.ServerSideEncryption
	kmsKey *string
}

func openS3(ctx context.Context, config storeconfig.Config) (Store, error) {
	// The SDK wants a client that it can build on: AWS_CA_BUNDLE in the environment adds to it.
	var transportErr error

	httpClient := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		transportErr = errors.Join(transportErr, setTransport(t, config))
	})
	if transportErr != nil {
		return nil, transportErr
	}

	loaded, err := loadAWS(ctx, config, httpClient)
	if err != nil {
		return nil, err
	}

	client := s3.NewFromConfig(loaded, func(o *s3.Options) {
		if config.Endpoint != "" {
			o.BaseEndpoint = aws.String(config.Endpoint)
		}

		o.UsePathStyle = config.Endpoint != ""
		if config.PathStyle != nil {
			o.UsePathStyle = *config.PathStyle
		}

		o.Retryer = aws.NopRetryer{}
		// Many compatible stores do not know the newer checksums that are sent behind the body. Content-MD5 and the signed
		// SHA-256 of the body are checked by all.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})

	store := &s3Store{client: client, bucket: config.Bucket, sse: types.ServerSideEncryption(config.ServerSideEncryption)}
	if config.KMSKeyID != "" {
		store.kmsKey = aws.String(config.KMSKeyID)
	}

	return store, nil
}

func loadAWS(ctx context.Context, config storeconfig.Config, client *awshttp.BuildableClient) (aws.Config, error) {
	region, err := readValue(config.Credentials.RegionFile)
	if err != nil {
		return aws.Config{}, err
	}

	region = cmp.Or(config.Region, region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	options := []func(*awsconfig.LoadOptions) error{awsconfig.WithHTTPClient(client)}

	if region != "" {
		options = append(options, awsconfig.WithRegion(region))
	}

	switch {
	case config.Credentials.Anonymous:
		options = append(options, awsconfig.WithCredentialsProvider(aws.AnonymousCredentials{}))
	case config.Credentials.AccessKeyIDFile != "":
		values, err := staticKeys(config.Credentials)
		if err != nil {
			return aws.Config{}, err
		}

		options = append(options, awsconfig.WithCredentialsProvider(values))
	default:
	}

	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS configuration: %w", err)
	}

	loaded.Region = cmp.Or(loaded.Region, defaultRegion)

	return loaded, nil
}

func staticKeys(files storeconfig.Credentials) (aws.CredentialsProvider, error) {
	var values [3]string

	for i, name := range []string{files.AccessKeyIDFile, files.SecretAccessKeyFile, files.SessionTokenFile} {
		value, err := readValue(name)
		if err != nil {
			return nil, err
		}

		values[i] = value
	}

	return credentials.NewStaticCredentialsProvider(values[0], values[1], values[2]), nil
}

func (s *s3Store) Put(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, key, data, nil)
}

func (s *s3Store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, key, data, aws.String("*"))
}

func (s *s3Store) put(ctx context.Context, key string, data []byte, ifNoneMatch *string) error {
	sum := md5.Sum(data) //nolint:gosec // see the import
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, Body: newBody(ctx, data), ContentLength: aws.Int64(int64(len(data))),
		ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum[:])), ContentType: aws.String("application/octet-stream"),
		IfNoneMatch: ifNoneMatch, ServerSideEncryption: s.sse, SSEKMSKeyId: s.kmsKey,
	})

	return s3Error("put", key, err)
}

func (s *s3Store) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if length == 0 {
		return http.NoBody, nil
	}

	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key, Range: httpRange(offset, length)})
	if err != nil {
		return nil, s3Error("get", key, err)
	}

	return out.Body, nil
}

// httpRange is nil for a whole object.
func httpRange(offset, length int64) *string {
	switch {
	case offset == 0 && length < 0:
		return nil
	case length < 0:
		return aws.String(fmt.Sprintf("bytes=%d-", offset))
	default:
		return aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	}
}

func (s *s3Store) Head(ctx context.Context, key string) (Info, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return Info{}, s3Error("head", key, err)
	}

	return Info{
		Key: key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag), Modified: aws.ToTime(out.LastModified),
	}, nil
}

func (s *s3Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		input := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix}
		if startAfter != "" {
			input.StartAfter = &startAfter
		}

		for pages := s3.NewListObjectsV2Paginator(s.client, input); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Info{}, s3Error("list", prefix, err))

				return
			}

			for _, object := range page.Contents {
				info := Info{
					Key: aws.ToString(object.Key), Size: aws.ToInt64(object.Size), ETag: aws.ToString(object.ETag),
					Modified: aws.ToTime(object.LastModified),
				}
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

func (s *s3Store) Delete(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key})

	return ignoreNotFound(s3Error("delete", key, err))
}

// s3Error sorts what the SDK gives back.
func s3Error(op, key string, err error) error {
	if err == nil {
		return nil
	}

	wrapped := fmt.Errorf("%s %s: %w", op, key, err)

	response, hasResponse := asError[*awshttp.ResponseError](err)
	if !hasResponse {
		return wrapped
	}

	code := ""
	if api, ok := asError[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}

	switch response.HTTPStatusCode() {
	case http.StatusNotFound:
		if code == "NoSuchBucket" {
			return fmt.Errorf("%s %s: %w", op, key, ErrNoBucket)
		}

		return fmt.Errorf("%s %s: %w (%s)", op, key, ErrNotFound, cmp.Or(code, "404"))
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%s %s: %w", op, key, ErrExists)
	case http.StatusConflict:
		// Two conditional writes at once: the store asks for another attempt.
		return wrapped
	default:
		return sortStatus(response.HTTPStatusCode(), code, wrapped)
	}
}
