package schedule_test

import (
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/schedule"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()

	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}

	return moment
}

func TestNext(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct{ name, spec, zone, after, want string }{
		{"five fields", "0 2 * * *", "", "2024-01-15T01:00:00Z", "2024-01-15T02:00:00Z"},
		{"six fields", "0 0 2 * * *", "", "2024-01-15T02:00:00Z", "2024-01-16T02:00:00Z"},
		{"seconds", "30 * * * * *", "", "2024-01-15T01:00:00Z", "2024-01-15T01:00:30Z"},
		{"a word", "@weekly", "", "2024-01-15T01:00:00Z", "2024-01-21T00:00:00Z"},
		{"days of the week", "15 3 * * MON-FRI", "", "2024-01-12T04:00:00Z", "2024-01-15T03:15:00Z"},
		{"a zone", "0 2 * * *", "Europe/Zurich", "2024-01-15T00:30:00Z", "2024-01-15T01:00:00Z"},
		{"a zone in summer", "0 2 * * *", "Europe/Zurich", "2024-07-14T23:30:00Z", "2024-07-15T00:00:00Z"},
		// 2024-03-31 02:00 → 03:00 in Zurich: 02:30 does not exist, 01:00 UTC is 03:00.
		{"the hour that does not exist is made up for", "30 2 * * *", "Europe/Zurich", "2024-03-30T12:00:00Z", "2024-03-31T01:00:00Z"},
		{"and the day after is as ever", "30 2 * * *", "Europe/Zurich", "2024-03-31T02:00:00Z", "2024-04-01T00:30:00Z"},
		// 2024-10-27 03:00 → 02:00: 02:30 comes twice, at 00:30 and 01:30 UTC.
		{"the hour that comes twice: first", "30 2 * * *", "Europe/Zurich", "2024-10-26T12:00:00Z", "2024-10-27T00:30:00Z"},
		{"the hour that comes twice: once", "30 2 * * *", "Europe/Zurich", "2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"},
		{"hourly goes on through it", "0 * * * *", "Europe/Zurich", "2024-10-27T00:00:00Z", "2024-10-27T01:00:00Z"},
		{"midnight that does not exist", "0 0 * * *", "America/Asuncion", "2024-10-05T12:00:00Z", "2024-10-06T04:00:00Z"},
		{"a leap day", "0 0 29 2 *", "", "2024-03-01T00:00:00Z", "2028-02-29T00:00:00Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			parsed, err := schedule.Parse(tc.spec, tc.zone)
			if err != nil {
				t.Fatal(err)
			}

			if got := parsed.Next(at(t, tc.after)); !got.Equal(at(t, tc.want)) {
				t.Errorf("next is %s, want %s", got.Format(time.RFC3339), tc.want)
			}
		})
	}
}

// Every day of a year has exactly one backup, whatever the clocks do.
func TestOnceADayForAYear(t *testing.T) {
	t.Parallel()

	for _, zone := range []string{"Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "UTC"} {
		for _, spec := range []string{"0 2 * * *", "30 1 * * *", "30 2 * * *", "0 3 * * *", "0 0 * * *"} {
			parsed, err := schedule.Parse(spec, zone)
			if err != nil {
				t.Fatal(err)
			}

			location, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}

			perDay := map[string]int{}
			for next := parsed.Next(at(t, "2023-12-31T12:00:00Z")); next.Before(at(t, "2024-12-30T00:00:00Z")); next = parsed.Next(next) {
				perDay[next.In(location).Format(time.DateOnly)]++
			}

			for day := time.Date(2024, 1, 2, 12, 0, 0, 0, location); day.Before(time.Date(2024, 12, 28, 0, 0, 0, 0, location)); day = day.AddDate(0, 0, 1) {
				if n := perDay[day.Format(time.DateOnly)]; n != 1 {
					t.Errorf("%s in %s is due %d times on %s", spec, zone, n, day.Format(time.DateOnly))
				}
			}
		}
	}
}

func TestLastOfManyThatWereMissed(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct{ name, spec, after, until, want string }{
		{"none", "0 2 * * *", "2024-01-15T02:00:00Z", "2024-01-16T01:59:59Z", ""},
		{"one", "0 2 * * *", "2024-01-15T02:00:00Z", "2024-01-16T02:00:00Z", "2024-01-16T02:00:00Z"},
		{"many", "0 2 * * *", "2024-01-15T02:00:00Z", "2024-02-20T12:00:00Z", "2024-02-20T02:00:00Z"},
		{"a year of seconds", "* * * * * *", "2023-01-15T02:00:00Z", "2024-02-20T12:00:00Z", "2024-02-20T12:00:00Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			parsed, err := schedule.Parse(tc.spec, "")
			if err != nil {
				t.Fatal(err)
			}

			got := parsed.Last(at(t, tc.after), at(t, tc.until))
			if tc.want == "" && !got.IsZero() || tc.want != "" && !got.Equal(at(t, tc.want)) {
				t.Errorf("last is %s, want %s", got, tc.want)
			}
		})
	}
}

func TestSchedulesThatAreRefused(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct{ spec, zone string }{
		{"", ""},
		{"daily", ""},
		{"* * * *", ""},
		{"61 * * * *", ""},
		{"0 0 30 2 *", ""},
		{"0 2 * * *", "Mars/Olympus"},
		{"0 2 * * *", "Local"},
		{"CRON_TZ=UTC 0 2 * * *", ""},
		{"* * * * * * *", ""},
	} {
		if _, err := schedule.Parse(tc.spec, tc.zone); err == nil {
			t.Errorf("%q in %q was taken", tc.spec, tc.zone)
		}
	}
}
