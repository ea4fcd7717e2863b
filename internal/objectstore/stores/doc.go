// Package stores starts real object stores for tests, on loopback: versitygw (S3), fake-gcs-server (GCS) and azurite
// (Azure Blob Storage). hack/stores.sh builds and installs them into a cache outside the work tree, which hack/test.sh has
// it do. Where one is missing the test is skipped, saying so; with CARETAKER_REQUIRE_STORES=1 it fails.
package stores
