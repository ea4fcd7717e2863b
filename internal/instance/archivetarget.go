package instance

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// target is an archive as the archiver and the commands of backups read it. Credentials stay in their files.
func (a *archiving) target(in instanceapi.Archive, name string) (archiveapi.Target, error) {
	store, err := storeconfig.ParseURL(in.URL)
	if err != nil {
		return archiveapi.Target{}, err
	}

	if in.Endpoint != "" {
		store.Endpoint = in.Endpoint
	}

	store.ServerSideEncryption = in.ServerSideEncryption
	file := func(credential string) string {
		if !slices.Contains(in.Credentials, credential) {
			return ""
		}

		return filepath.Join(in.Dir, in.Prefix+credential)
	}

	store.CAFile = file(instanceapi.CredentialCA)
	store.Credentials = storeconfig.Credentials{
		InheritIdentity:           in.InheritIdentity,
		AccessKeyIDFile:           file(instanceapi.CredentialAccessKeyID),
		SecretAccessKeyFile:       file(instanceapi.CredentialSecretAccessKey),
		SessionTokenFile:          file(instanceapi.CredentialSessionToken),
		RegionFile:                file(instanceapi.CredentialRegion),
		GoogleFile:                file(instanceapi.CredentialGoogle),
		AzureConnectionStringFile: file(instanceapi.CredentialAzureConnection),
		AzureAccountFile:          file(instanceapi.CredentialAzureAccount),
		AzureKeyFile:              file(instanceapi.CredentialAzureKey),
		AzureSASTokenFile:         file(instanceapi.CredentialAzureSASToken),
	}

	target := archiveapi.Target{Store: store, Server: in.Server, Compression: in.WALCompression, IdentitiesFile: file(instanceapi.CredentialIdentity)}

	if len(in.Recipients) > 0 {
		target.RecipientsFile = filepath.Join(a.r.layout.RunDir, "archive-"+name+".recipients")

		if _, err := volume.WriteFileIfChanged(target.RecipientsFile, []byte(strings.Join(in.Recipients, "\n")+"\n"), 0o600); err != nil {
			return archiveapi.Target{}, fmt.Errorf("write the age recipients: %w", err)
		}
	}

	return target, nil
}
