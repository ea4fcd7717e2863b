package mysqld_test

import (
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/mysqld"
)

func TestFile(t *testing.T) {
	t.Parallel()

	for memory, want := range map[int64][]string{
		0:         {"innodb-buffer-pool-size=134217728", "message-cache-size=134217728"},
		256 << 20: {"innodb-buffer-pool-size=67108864"},
		1 << 30:   {"innodb-buffer-pool-size=268435456", "message-cache-size=134217728"},
		4 << 30:   {"innodb-buffer-pool-size=2147483648", "message-cache-size=536870912"},
		64 << 30:  {"message-cache-size=1073741824"},
	} {
		file := mysqld.Settings{Host: "db-1.db-members.shop.svc", Ordinal: 1, Group: "g", MemoryLimit: memory}.File()

		for _, line := range append(want, "server-id=2", "super-read-only=ON", "group-replication-local-address=db-1.db-members.shop.svc:3306") {
			if !strings.Contains(file, line) {
				t.Errorf("with %d bytes: no %q in\n%s", memory, line, file)
			}
		}
	}
}

// TestInitFile: passwords that would end their quotes.
func TestInitFile(t *testing.T) {
	t.Parallel()

	file := mysqld.InitFile(`it's`, `back\slash`)

	for _, want := range []string{`IDENTIFIED BY 'it\'s';`, `IDENTIFIED BY 'back\\slash' REQUIRE SSL;`, "SET SESSION SQL_LOG_BIN=0;"} {
		if !strings.Contains(file, want) {
			t.Errorf("no %q in\n%s", want, file)
		}
	}

	// The server reads one statement from each line.
	for line := range strings.Lines(file) {
		if !strings.HasSuffix(line, ";\n") {
			t.Errorf("%q is no whole statement", line)
		}
	}
}

func TestMember(t *testing.T) {
	t.Parallel()

	member := mysqld.Member{Run: "r", State: mysqld.StateWaiting, GTIDs: "a:1-5", Message: "in no group"}

	got, err := mysqld.DecodeMember(member.Encode())
	if err != nil || got != member {
		t.Errorf("%+v (%v) comes back, want %+v", got, err, member)
	}

	if none, err := mysqld.DecodeMember(""); err != nil || none != (mysqld.Member{}) {
		t.Errorf("an empty annotation is %+v (%v)", none, err)
	}

	if _, err := mysqld.DecodeMember("{"); err == nil {
		t.Error("half an annotation is taken")
	}
}
