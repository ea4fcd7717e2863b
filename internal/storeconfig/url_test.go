package storeconfig

import "testing"

func TestParseURL(t *testing.T) {
	for text, want := range map[string]Config{
		"s3://backups/financial-db":                      {Type: TypeS3, Bucket: "backups", Prefix: "financial-db"},
		"s3://backups/":                                  {Type: TypeS3, Bucket: "backups"},
		"gs://backups/a/b/":                              {Type: TypeGCS, Bucket: "backups", Prefix: "a/b"},
		"azure://cont/a":                                 {Type: TypeAzure, Bucket: "cont", Prefix: "a"},
		"https://acc.blob.core.windows.net/cont/a/b":     {Type: TypeAzure, Endpoint: "https://acc.blob.core.windows.net", Account: "acc", Bucket: "cont", Prefix: "a/b"},
		"http://127.0.0.1:10000/devstoreaccount1/cont/a": {Type: TypeAzure, Endpoint: "http://127.0.0.1:10000/devstoreaccount1", Account: "devstoreaccount1", Bucket: "cont", Prefix: "a"},
		"file:///backups/here":                           {Type: TypeDir, Bucket: "/backups/here"},
	} {
		if got, err := ParseURL(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}

	for _, text := range []string{"", "backups", "s3://", "s3://key:secret@bucket/a", "s3://bucket/../a", "ftp://bucket", "file://backups", "https://example.org", "s3://bucket?x=1"} {
		if got, err := ParseURL(text); err == nil {
			t.Errorf("%q was taken as %+v", text, got)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("s3://bucket/path")
	f.Add("https://account.blob.core.windows.net/container/path")
	f.Fuzz(func(t *testing.T, text string) {
		config, err := ParseURL(text)
		if err == nil && config.Check() != nil {
			t.Errorf("%q gives a configuration that is wrong", text)
		}
	})
}
