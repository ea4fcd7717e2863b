package dump

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// WithCredentials is a store with the credentials that a mounted Secret has; without a folder it stays as it is. The files are
// looked for now: a Secret may have some keys and not others.
func WithCredentials(config storeconfig.Config, dir string) (storeconfig.Config, error) {
	if dir == "" {
		return config, nil
	}

	file := func(keys ...string) string {
		for _, key := range keys {
			path := filepath.Join(dir, key)
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}

		return ""
	}

	if missing := archiveapi.MissingStoreKeys(config.Type, func(key string) bool { return file(key) != "" }); missing != "" {
		return config, fmt.Errorf("the Secret with the credentials of the store needs the keys %s", missing)
	}

	config.CAFile = file(archiveapi.KeyStoreCertificate)

	switch config.Type {
	case storeconfig.TypeS3:
		config.Credentials.AccessKeyIDFile = file(archiveapi.KeyAccessKeyID)
		config.Credentials.SecretAccessKeyFile = file(archiveapi.KeyAccessSecretKey, archiveapi.KeySecretAccessKey)
		config.Credentials.SessionTokenFile = file(archiveapi.KeySessionToken)
	case storeconfig.TypeGCS:
		config.Credentials.GoogleFile = file(archiveapi.KeyGoogle)
	case storeconfig.TypeAzure:
		config.Credentials.AzureConnectionStringFile = file(archiveapi.KeyAzureConnection)
		config.Credentials.AzureAccountFile = file(archiveapi.KeyAzureAccount)
		config.Credentials.AzureKeyFile = file(archiveapi.KeyAzureKey)
		config.Credentials.AzureSASTokenFile = file(archiveapi.KeyAzureSASToken)
	case storeconfig.TypeDir:
	}

	return config, nil
}
