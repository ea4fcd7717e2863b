package postgres

import "testing"

func TestEveryRowOfTheTableIsWhole(t *testing.T) {
	perMajor := map[int]int{}
	for row := range rows(0) {
		p, ok := parseRow(row)
		if !ok || p.Name == "" || p.Context == "" || p.from < MinMajor || p.to > MaxMajor || p.from > p.to {
			t.Errorf("broken row %q", row)
			continue
		}
		for major := p.from; major <= p.to; major++ {
			perMajor[major]++
		}
		if message := p.checkValue(p.Boot); p.Context != "internal" && message != "" {
			t.Errorf("%s %d-%d does not take its own default: %s", p.Name, p.from, p.to, message)
		}
	}
	for major := MinMajor; major <= MaxMajor; major++ {
		if perMajor[major] < 340 {
			t.Errorf("PostgreSQL %d has %d parameters in the table; a server has some 350", major, perMajor[major])
		}
	}
}

func TestLookup(t *testing.T) {
	tests := []struct {
		major       int
		name        string
		wantType    string
		wantContext string
	}{
		{14, "wal_compression", "bool", "superuser"},
		{15, "wal_compression", "enum", "superuser"},
		{0, "wal_compression", "enum", "superuser"},
		{17, "datestyle", "string", "user"},
		{17, "io_method", "", ""},
		{17, "nonsense", "", ""},
	}
	for _, tc := range tests {
		p, ok := Lookup(tc.major, tc.name)
		if p.Type != tc.wantType || p.Context != tc.wantContext || ok != (tc.wantType != "") {
			t.Errorf("%s on %d: %s, %s, %v; want %s, %s", tc.name, tc.major, p.Type, p.Context, ok, tc.wantType, tc.wantContext)
		}
	}
}
