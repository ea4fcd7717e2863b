package dump

import (
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

func TestWithCredentials(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		store   storeconfig.Type
		keys    string
		missing string
	}{
		{storeconfig.TypeS3, "ACCESS_KEY_ID ACCESS_SECRET_KEY", ""},
		{storeconfig.TypeS3, "ACCESS_KEY_ID SECRET_ACCESS_KEY ACCESS_SESSION_TOKEN ca.crt", ""},
		{storeconfig.TypeS3, "ACCESS_KEY_ID", "ACCESS_KEY_ID and ACCESS_SECRET_KEY"},
		{storeconfig.TypeGCS, "GOOGLE_CREDENTIALS", ""},
		{storeconfig.TypeGCS, "key.json", "GOOGLE_CREDENTIALS"},
		{storeconfig.TypeAzure, "AZURE_CONNECTION_STRING", ""},
		{storeconfig.TypeAzure, "AZURE_STORAGE_ACCOUNT AZURE_STORAGE_SAS_TOKEN", ""},
		{storeconfig.TypeAzure, "AZURE_STORAGE_ACCOUNT", "AZURE_CONNECTION_STRING, or "},
	} {
		secret := map[string]string{}
		for key := range strings.FieldsSeq(tc.keys) {
			secret[key] = "x"
		}

		config, err := WithCredentials(storeconfig.Config{Type: tc.store, Bucket: "b"}, secretDir(t, secret))

		switch {
		case tc.missing != "":
			if err == nil || !strings.Contains(err.Error(), tc.missing) {
				t.Errorf("%s: %v", tc.keys, err)
			}
		case err != nil || len(config.Files()) != len(secret) || config.Check() != nil:
			t.Errorf("%s: %v, %v, %v", tc.keys, config.Files(), err, config.Check())
		}
	}

	config, err := WithCredentials(storeconfig.Config{Type: storeconfig.TypeS3, Bucket: "b"}, "")
	if err != nil || len(config.Files()) > 0 {
		t.Errorf("without a Secret: %+v, %v", config, err)
	}
}
