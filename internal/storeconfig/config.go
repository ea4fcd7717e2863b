package storeconfig

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Type is a kind of store.
type Type string

// The kinds of stores.
const (
	TypeS3    Type = "s3"
	TypeGCS   Type = "gcs"
	TypeAzure Type = "azure"
	TypeDir   Type = "dir"
)

// Config says where a store is and how to get in. It holds no secrets: credentials are files, read again when they
// change, so that a rotated Secret takes effect without a restart.
type Config struct {
	Type Type `json:"type"`

	// Bucket of S3 and GCS; the container of Azure; the absolute path of a directory, which must exist.
	Bucket string `json:"bucket"`
	// Prefix of all keys, such as "backups/eu"; slashes at its ends do not count.
	Prefix string `json:"prefix,omitempty"`

	// Endpoint of a store that is not the provider's own, such as https://s3.example.org:9000.
	Endpoint string `json:"endpoint,omitempty"`
	// Region of S3. Empty: from RegionFile, the environment, or us-east-1.
	Region string `json:"region,omitempty"`
	// Account is Azure's storage account, where no AccountFile or connection string says it.
	Account string `json:"account,omitempty"`
	// PathStyle puts S3's bucket into the path instead of the host name. Nil: true if there is an Endpoint.
	PathStyle *bool `json:"pathStyle,omitempty"`

	// CAFile is a PEM bundle to trust beside the system's, for a store with a certificate of its own.
	CAFile string `json:"caFile,omitempty"`
	// Credentials to get in with.
	Credentials Credentials `json:"credentials,omitzero"`

	// ServerSideEncryption asks S3 to encrypt: AES256 or aws:kms.
	ServerSideEncryption string `json:"serverSideEncryption,omitempty"`
	// KMSKeyID for aws:kms. Empty: the bucket's.
	KMSKeyID string `json:"kmsKeyID,omitempty"`

	// Timeouts and retries.
	Timeouts Timeouts `json:"timeouts,omitzero"`
}

// Credentials are paths of files, each of which holds one value. With none of them and neither of the flags, the SDK's own
// search applies: the environment, shared files, the workload's identity.
type Credentials struct {
	// InheritIdentity uses the pod's workload identity (IAM role, GKE or Azure workload identity), and nothing from files.
	InheritIdentity bool `json:"inheritIdentity,omitempty"`
	// Anonymous sends no credentials.
	Anonymous bool `json:"anonymous,omitempty"`

	// S3.
	AccessKeyIDFile     string `json:"accessKeyIDFile,omitempty"`
	SecretAccessKeyFile string `json:"secretAccessKeyFile,omitempty"`
	SessionTokenFile    string `json:"sessionTokenFile,omitempty"`
	RegionFile          string `json:"regionFile,omitempty"`

	// GCS: a service account's JSON.
	GoogleFile string `json:"googleFile,omitempty"`

	// Azure: a connection string; or the account with its key or a SAS token.
	AzureConnectionStringFile string `json:"azureConnectionStringFile,omitempty"`
	AzureAccountFile          string `json:"azureAccountFile,omitempty"`
	AzureKeyFile              string `json:"azureKeyFile,omitempty"`
	AzureSASTokenFile         string `json:"azureSASTokenFile,omitempty"`
}

// Timeouts of a store's operations. Zero values mean the defaults.
type Timeouts struct {
	// Stall ends an attempt in which no byte has moved for so long. Default 30 s.
	Stall time.Duration `json:"stall,omitempty"`
	// Attempts at one operation, the first included. Default 5.
	Attempts int `json:"attempts,omitempty"`
	// Backoff before the second attempt, doubled for each after it and drawn at random between half and all of that.
	// Default 200 ms.
	Backoff time.Duration `json:"backoff,omitempty"`
	// MaxBackoff is its upper bound. Default 10 s.
	MaxBackoff time.Duration `json:"maxBackoff,omitempty"`
}

// WithDefaults fills in what is not set.
func (t Timeouts) WithDefaults() Timeouts {
	t.Stall = cmp.Or(t.Stall, 30*time.Second)
	t.Attempts = cmp.Or(t.Attempts, 5)
	t.Backoff = cmp.Or(t.Backoff, 200*time.Millisecond)
	t.MaxBackoff = cmp.Or(t.MaxBackoff, 10*time.Second)

	return t
}

// Files are the credentials' files that are set.
func (c Config) Files() []string {
	all := []string{
		c.Credentials.AccessKeyIDFile, c.Credentials.SecretAccessKeyFile, c.Credentials.SessionTokenFile, c.Credentials.RegionFile,
		c.Credentials.GoogleFile, c.Credentials.AzureConnectionStringFile, c.Credentials.AzureAccountFile,
		c.Credentials.AzureKeyFile, c.Credentials.AzureSASTokenFile, c.CAFile,
	}

	return slices.DeleteFunc(all, func(name string) bool { return name == "" })
}

// Check says what is wrong with a configuration, by field.
func (c Config) Check() error {
	switch c.Type {
	case TypeS3, TypeGCS, TypeAzure:
		if c.Bucket == "" || strings.Contains(c.Bucket, "/") {
			return fmt.Errorf("%w bucket %q: want a name without slashes", ErrInvalid, c.Bucket)
		}
	case TypeDir:
		if !filepath.IsAbs(c.Bucket) {
			return fmt.Errorf("%w directory %q: want an absolute path", ErrInvalid, c.Bucket)
		}
	default:
		return fmt.Errorf("%w store type %q: want s3, gcs, azure or dir", ErrInvalid, c.Type)
	}

	if prefix := strings.Trim(c.Prefix, "/"); prefix != "" {
		if err := CheckKey(prefix); err != nil {
			return fmt.Errorf("prefix: %w", err)
		}
	}

	if c.ServerSideEncryption != "" && c.Type != TypeS3 {
		return fmt.Errorf("%w serverSideEncryption %q: only S3 is asked for it; the other stores always encrypt", ErrInvalid, c.ServerSideEncryption)
	}

	both := c.Credentials.AccessKeyIDFile != "" == (c.Credentials.SecretAccessKeyFile != "")
	if !both {
		return fmt.Errorf("%w S3 credentials: accessKeyID and secretAccessKey go together", ErrInvalid)
	}

	return nil
}

// String names the store for messages: its URL.
func (c Config) String() string {
	prefix := strings.Trim(c.Prefix, "/")
	if prefix != "" {
		prefix = "/" + prefix
	}

	switch c.Type {
	case TypeGCS:
		return "gs://" + c.Bucket + prefix
	case TypeAzure:
		return "azure://" + c.Bucket + prefix
	case TypeDir:
		return "file://" + c.Bucket + prefix
	case TypeS3:
		return "s3://" + c.Bucket + prefix
	default:
		return string(c.Type) + "://" + c.Bucket + prefix
	}
}
