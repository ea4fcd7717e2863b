// Package schedule reads cron schedules in a time zone. It is PURE.
//
// Over a change of daylight-saving time: what is due in the hour that does not exist is due just after it, what is due in the
// hour that comes twice is due once.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // images and nodes may have no time zones

	"github.com/netresearch/go-cron"
)

// Schedule says when something is due.
type Schedule struct {
	spec cron.Schedule
	zone *time.Location
}

// UnknownZoneError says that the time zone, and not the schedule, cannot be used.
type UnknownZoneError struct{ Zone string }

// Error says it in words.
func (e *UnknownZoneError) Error() string {
	return fmt.Sprintf("time zone %q is not known; use a name such as Europe/Zurich", e.Zone)
}

// Field of an object that an error of Parse is about: timeZone or schedule, below a path such as spec.
func Field(path string, err error) string {
	if _, ok := errors.AsType[*UnknownZoneError](err); ok {
		return path + ".timeZone"
	}

	return path + ".schedule"
}

// Parse reads five fields (minute hour day-of-month month day-of-week), six with seconds first, or @daily and the like. The
// zone is a name such as Europe/Zurich; UTC if empty. The error is an *UnknownZoneError, or about the schedule.
func Parse(spec, zone string) (Schedule, error) {
	if zone == "" {
		zone = "UTC"
	}

	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return Schedule{}, &UnknownZoneError{Zone: zone}
	}

	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		return Schedule{}, fmt.Errorf("schedule %q: name the time zone in timeZone", spec)
	}

	parser, err := cron.TryNewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	if err != nil {
		return Schedule{}, fmt.Errorf("make a parser of schedules: %w", err)
	}

	parsed, err := parser.Parse(spec)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w; use five fields (minute hour day-of-month month day-of-week) or six with seconds first", spec, err)
	}

	s := Schedule{spec: parsed, zone: location}
	if s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, fmt.Errorf("schedule %q is never due", spec)
	}

	return s, nil
}

// Next is the first moment after another at which it is due, in UTC; zero for never.
//
// The library is asked about clocks that never change; what they show is then looked up in the zone. Asked in the zone itself
// it gives some days two moments, and others none.
func (s Schedule) Next(after time.Time) time.Time {
	local := after.In(s.zone)
	if s.isFrequent(local) {
		_, offset := local.Zone()

		return s.spec.Next(after.In(time.FixedZone("", offset))).UTC()
	}

	for shown := s.spec.Next(asShown(local)); !shown.IsZero(); shown = s.spec.Next(shown) {
		if at := s.moment(shown); at.After(after) {
			return at.UTC()
		}
	}

	return time.Time{}
}

// isFrequent: what is due every hour or more often goes on through the hour that comes twice.
func (s Schedule) isFrequent(local time.Time) bool {
	first := s.spec.Next(asShown(local))

	return !first.IsZero() && s.spec.Next(first).Sub(first) <= time.Hour
}

// asShown is a moment at which clocks in UTC show what clocks show then.
func asShown(local time.Time) time.Time {
	year, month, day := local.Date()

	return time.Date(year, month, day, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
}

// moment is when clocks in the zone first show something; if they leave it out, when they do.
func (s Schedule) moment(shown time.Time) time.Time {
	year, month, day := shown.Date()
	at := time.Date(year, month, day, shown.Hour(), shown.Minute(), shown.Second(), 0, s.zone)
	begin, end := at.ZoneBounds()

	switch show := asShown(at); {
	case show.After(shown):
		return begin
	case show.Before(shown):
		return end
	}

	if begin.IsZero() {
		return at
	}

	// Clocks may have shown it before they were put back, too.
	_, before := begin.Add(-time.Second).Zone()
	if earlier := shown.Add(-time.Duration(before) * time.Second); earlier.Before(begin) {
		return earlier
	}

	return at
}

// Last is the last moment after one and not after another at which it was due; zero if there is none. Only the last of
// many that were missed counts.
func (s Schedule) Last(after, until time.Time) time.Time {
	// From closer and closer, so that a schedule of every second that was not followed for a year costs nothing.
	for _, back := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 35 * 24 * time.Hour} {
		start := until.Add(-back)
		if !start.After(after) {
			break
		}

		if last := s.walk(start, until); !last.IsZero() {
			return last
		}
	}

	return s.walk(after, until)
}

func (s Schedule) walk(after, until time.Time) (last time.Time) {
	for next := s.Next(after); !next.IsZero() && !next.After(until); next = s.Next(next) {
		last = next
	}

	return last
}
