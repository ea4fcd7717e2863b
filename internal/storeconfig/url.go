package storeconfig

import (
	"fmt"
	"net/url"
	"strings"
)

// ParseURL reads where a store is from the forms in use:
//
//	s3://bucket/path
//	gs://bucket/path
//	azure://container/path                                  (the account from the configuration or the environment)
//	https://account.blob.core.windows.net/container/path
//	http://127.0.0.1:10000/account/container/path           (an emulator: any other host)
//	file:///absolute/path
//
// Everything but Type, Bucket, Prefix, and Azure's Endpoint and Account is left unset.
func ParseURL(text string) (Config, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Config{}, fmt.Errorf("%w store URL: %w", ErrInvalid, err)
	}

	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Config{}, fmt.Errorf("%w store URL: credentials, ?query and #fragment have no place in it", ErrInvalid)
	}

	config, err := parsePlace(u)
	if err != nil {
		return Config{}, err
	}

	config.Prefix = strings.Trim(config.Prefix, "/")

	return config, config.Check()
}

func parsePlace(u *url.URL) (Config, error) {
	switch u.Scheme {
	case "s3":
		return Config{Type: TypeS3, Bucket: u.Host, Prefix: u.Path}, nil
	case "gs", "gcs":
		return Config{Type: TypeGCS, Bucket: u.Host, Prefix: u.Path}, nil
	case "azure", "az":
		return Config{Type: TypeAzure, Bucket: u.Host, Prefix: u.Path}, nil
	case "file":
		if u.Host != "" {
			return Config{}, fmt.Errorf("%w store URL %q: want three slashes, file:///path", ErrInvalid, u)
		}

		return Config{Type: TypeDir, Bucket: strings.TrimSuffix(u.Path, "/")}, nil
	case "http", "https":
		return parseAzure(u), nil
	default:
		return Config{}, fmt.Errorf("%w store URL %q: want s3://bucket/path, gs://bucket/path, https://account.blob.core.windows.net/container/path or file:///path", ErrInvalid, u)
	}
}

// parseAzure reads an address of Azure Blob Storage, where the account is in the host's name, or in the path if the host is
// an emulator's.
func parseAzure(u *url.URL) Config {
	base := u.Scheme + "://" + u.Host
	rest := strings.TrimPrefix(u.Path, "/")

	account, _, isBlob := strings.Cut(u.Hostname(), ".blob.")
	if !isBlob {
		account, rest, _ = strings.Cut(rest, "/")
		base += "/" + account
	}

	container, prefix, _ := strings.Cut(rest, "/")

	return Config{Type: TypeAzure, Endpoint: base, Account: account, Bucket: container, Prefix: prefix}
}
