package postgres

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func appConn() ConnInfo {
	return ConnInfo{
		Host: "orders-rw.shop.svc", Port: 5432, User: "app", Password: `p@ss:w/rd 'x' \+é`, DBName: "orders",
		SSLMode: "require", TargetSessionAttrs: "read-write", ConnectTimeoutSeconds: 5, TCPUserTimeoutMillis: 10000,
	}
}

func TestConnInfoForms(t *testing.T) {
	tests := map[string]struct {
		conn                      ConnInfo
		keywords, uri, jdbc, pass string
	}{
		"an application's": {
			conn: appConn(),
			keywords: `host=orders-rw.shop.svc port=5432 user=app password='p@ss:w/rd \'x\' \\+é' dbname=orders ` +
				`sslmode=require target_session_attrs=read-write connect_timeout=5 tcp_user_timeout=10000`,
			uri: "postgresql://app:p%40ss%3Aw%2Frd%20%27x%27%20%5C%2B%C3%A9@orders-rw.shop.svc:5432/orders" +
				"?sslmode=require&target_session_attrs=read-write&connect_timeout=5&tcp_user_timeout=10000",
			jdbc: "jdbc:postgresql://orders-rw.shop.svc:5432/orders?user=app&password=p%40ss%3Aw%2Frd%20%27x%27%20%5C%2B%C3%A9" +
				"&sslmode=require&targetServerType=primary&connectTimeout=5&tcpKeepAlive=true",
			pass: `orders-rw.shop.svc:5432:orders:app:p@ss\:w/rd 'x' \\+é` + "\n",
		},
		"a standby's": {
			conn: ConnInfo{
				Host: "10.1.2.3", User: ReplicationUser, DBName: "postgres", ApplicationName: "m-7f3a", SSLMode: "verify-ca",
				SSLCert: "/tls/a b.crt", SSLKey: "/tls/tls.key", SSLRootCert: "/tls/ca.crt",
				KeepalivesIdleSeconds: 5, KeepalivesIntervalSeconds: 1, KeepalivesCount: 3,
			},
			keywords: `host=10.1.2.3 user=streaming_replica dbname=postgres sslmode=verify-ca sslrootcert=/tls/ca.crt ` +
				`sslcert='/tls/a b.crt' sslkey=/tls/tls.key application_name=m-7f3a ` +
				`keepalives_idle=5 keepalives_interval=1 keepalives_count=3`,
			uri: "postgresql://streaming_replica@10.1.2.3/postgres?sslmode=verify-ca&sslrootcert=%2Ftls%2Fca.crt" +
				"&sslcert=%2Ftls%2Fa%20b.crt&sslkey=%2Ftls%2Ftls.key&application_name=m-7f3a" +
				"&keepalives_idle=5&keepalives_interval=1&keepalives_count=3",
			jdbc: "jdbc:postgresql://10.1.2.3/postgres?user=streaming_replica&sslmode=verify-ca&sslrootcert=%2Ftls%2Fca.crt" +
				"&sslcert=%2Ftls%2Fa%20b.crt&sslkey=%2Ftls%2Ftls.key&ApplicationName=m-7f3a&tcpKeepAlive=true",
			pass: "10.1.2.3:*:postgres:streaming_replica:\n",
		},
		"IPv6": {
			conn:     ConnInfo{Host: "fd00::1", Port: 5433, User: "a", DBName: "d"},
			keywords: "host=fd00::1 port=5433 user=a dbname=d",
			uri:      "postgresql://a@[fd00::1]:5433/d",
			jdbc:     "jdbc:postgresql://[fd00::1]:5433/d?user=a",
			pass:     `fd00\:\:1:5433:d:a:` + "\n",
		},
		"a socket": {
			conn:     ConnInfo{Host: "/run/caretaker", User: "postgres"},
			keywords: "host=/run/caretaker user=postgres",
			uri:      "postgresql://postgres@%2Frun%2Fcaretaker",
			jdbc:     "jdbc:postgresql://%2Frun%2Fcaretaker/?user=postgres",
			pass:     "/run/caretaker:*:*:postgres:\n",
		},
		"a standby for reading": {
			conn:     ConnInfo{Host: "orders-ro", DBName: "d", TargetSessionAttrs: "prefer-standby"},
			keywords: "host=orders-ro dbname=d target_session_attrs=prefer-standby",
			uri:      "postgresql://orders-ro/d?target_session_attrs=prefer-standby",
			jdbc:     "jdbc:postgresql://orders-ro/d?targetServerType=preferSecondary",
			pass:     "orders-ro:*:d:*:\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			want := []string{tc.keywords, tc.uri, tc.jdbc, tc.pass}
			got := []string{tc.conn.String(), tc.conn.URI(), tc.conn.JDBC(), tc.conn.PGPass()}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("forms (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzConnInfo(f *testing.F) {
	f.Add("app", "secret", "orders")
	f.Add("o'neil", `a\b:c@d/e?f#g&h=i j`, "día %41")
	f.Add("", "\xff\xfe", "+")
	f.Fuzz(func(t *testing.T, user, password, database string) {
		conn := ConnInfo{Host: "db", User: user, Password: password, DBName: database}
		parsed, err := url.Parse(conn.URI())
		if err != nil {
			t.Fatalf("%q: %v", conn.URI(), err)
		}
		gotPassword, _ := parsed.User.Password()
		if parsed.User.Username() != user || gotPassword != password || strings.TrimPrefix(parsed.Path, "/") != database {
			t.Errorf("%q does not give back %q %q %q", conn.URI(), user, password, database)
		}
		jdbc, err := url.Parse(strings.TrimPrefix(conn.JDBC(), "jdbc:"))
		if err != nil {
			t.Fatalf("%q: %v", conn.JDBC(), err)
		}
		if q := jdbc.Query(); q.Get("user") != user || q.Get("password") != password {
			t.Errorf("%q does not give back %q %q", conn.JDBC(), user, password)
		}
		if got := unquoteConnValue(quoteConnValue(password)); got != password {
			t.Errorf("%q does not give back %q but %q", quoteConnValue(password), password, got)
		}
	})
}

// unquoteConnValue undoes quoteConnValue as libpq's conninfo_parse does.
func unquoteConnValue(text string) string {
	var out strings.Builder
	quoted := strings.HasPrefix(text, "'")
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\'':
		case text[i] == '\\' && i+1 < len(text):
			i++
			out.WriteByte(text[i])
		default:
			out.WriteByte(text[i])
		}
	}
	return out.String()
}
