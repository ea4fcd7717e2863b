package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// TestRepeat: without an interval the result is the program's; with one it goes on over failures until it is interrupted.
func TestRepeat(t *testing.T) {
	failure := errors.New("the store refuses access")
	if err := repeat(t.Context(), 0, realClock(), func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("once: %v", err)
	}

	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()

		turns := 0
		if err := repeat(ctx, time.Minute, realClock(), func() error { turns++; return failure }); err != nil || turns != 3 {
			t.Errorf("%d turns, %v", turns, err)
		}
	})
}

// TestIsSameServer: a bucket of the same name on another server is another store.
func TestIsSameServer(t *testing.T) {
	one := storeconfig.Config{Type: storeconfig.TypeS3, Bucket: "backups", Endpoint: "http://s3:7070"}

	slash, elsewhere, account := one, one, one
	slash.Endpoint, elsewhere.Endpoint, account.Credentials.AzureAccountFile = "http://s3:7070/", "http://s3-second:7070", "/second/account"

	if !isSameServer(one, slash) || isSameServer(one, elsewhere) || isSameServer(one, account) {
		t.Errorf("slash %v, another server %v, another account %v", isSameServer(one, slash), isSameServer(one, elsewhere), isSameServer(one, account))
	}
}

func TestCopiedText(t *testing.T) {
	want := "copied: 3 objects, 2 MiB; 1 were there already. The second store has: backups a, b; WAL to 000000010000000000000005" +
		"\nthere is no identity to open what is encrypted with: it was compared only from outside" +
		"\nnot copied: object x is damaged: its checksum is wrong"

	got := copiedText(&basebackup.Copied{
		Backups: []string{"a", "b"}, LastWAL: "000000010000000000000005", Objects: 3, Bytes: 2 << 20, Present: 1, Sealed: true,
		Problems: []string{"object x is damaged: its checksum is wrong"},
	})
	if got != want {
		t.Errorf("got %q", got)
	}
}
