package plugin

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// width that text is made to fit.
const width = 100

// WriteText prints a View for people.
func WriteText(out io.Writer, view View, now time.Time) error {
	var b strings.Builder

	wrap(&b, "", fmt.Sprintf("Cluster %s (namespace %s) %s.", view.Cluster, view.Namespace, strings.TrimSuffix(view.Summary, ".")))
	writeFacts(&b, view, now)

	if len(view.Instances) > 0 && view.Health != Asleep {
		b.WriteString("\n")
		b.WriteString(table(view, now))
		paragraph(&b, "Instances that do not serve:", troubles(view))
	}

	paragraph(&b, "Conditions that are not well:", conditionLines(view.Unwell))
	paragraph(&b, "Please note:", view.Notes)

	writeAdvice(&b, view.Next)

	_, err := io.WriteString(out, b.String())

	return err //nolint:wrapcheck // standard output is closed; there is nothing to add
}

func writeFacts(b *strings.Builder, view View, now time.Time) {
	first := true

	for _, line := range facts(view, now) {
		if line[1] == "" {
			continue
		}

		if first {
			b.WriteString("\n")

			first = false
		}

		wrap(b, fmt.Sprintf("  %-17s", line[0]+":"), line[1])
	}
}

func facts(view View, now time.Time) [][2]string {
	primary := ""
	if view.Primary != "" {
		primary = fmt.Sprintf("%s, term %d, timeline %d", view.Primary, view.Term, view.TimelineID)
	}

	postgres := view.Version
	if view.Image != "" {
		postgres = strings.TrimSpace(postgres + " (" + view.Image + ")")
	}

	return [][2]string{
		{"Primary", primary},
		{"PostgreSQL", postgres},
		{"Commits", view.Commits},
		{"Archive", archive(view.Archive, now)},
		{"Backups", backups(view, now)},
		{"Copies", copies(view.Backups, now)},
		{"Recovery", recovery(view, now)},
		{"Recovered", recovered(view.Recovered, now)},
		{"In place", inPlace(view.InPlace, now)},
		{"Set aside", setAside(view.SetAside)},
		{"Last failover", failover(view.LastFailover, now)},
		{"Last switchover", switchover(view.LastSwitchover, now)},
		{"Certificates", certificates(view.Certificates, now)},
		{"Wait for restart", strings.Join(view.PendingRestart, ", ")},
	}
}

func failover(f *v1.FailoverStatus, now time.Time) string {
	if f == nil {
		return ""
	}

	isAgain := f.To == f.From
	text := fmt.Sprintf("%s ago: %s took over from %s, term %d", span(now.Sub(f.At.Time)), f.To, f.From, f.Term)

	if isAgain {
		text = fmt.Sprintf("%s ago: %s leads again, term %d", span(now.Sub(f.At.Time)), f.To, f.Term)
	}

	if f.Reason != "" {
		text += ": " + f.Reason
	}

	if f.GapMilliseconds != nil {
		text += fmt.Sprintf("; %.1fs without a primary", (time.Duration(*f.GapMilliseconds) * time.Millisecond).Seconds())
	}

	if f.ForkLSN != "" {
		text += fmt.Sprintf("; timeline %d from %s", f.TimelineID, f.ForkLSN)
	}

	switch {
	case isAgain:
		return text
	case f.Returned == "":
		return text + "; " + f.From + " has not come back yet"
	case f.Returned == v1.RejoinReplaced:
		return text + "; " + f.From + " was made anew on another volume"
	case f.Returned == v1.RejoinRemoved:
		return text + "; there is no " + f.From + " any more"
	case f.Returned == v1.RejoinUnknown:
		return text + "; " + f.From + " is back"
	case f.BytesDiscarded != nil && *f.BytesDiscarded > 0:
		text += fmt.Sprintf("; %s of %s's log discarded", size(*f.BytesDiscarded), f.From)
	default:
		text += "; nothing discarded"
	}

	if f.DivergentWAL != "" {
		text += ", kept in " + f.DivergentWAL + " on its volume"
	}

	return text
}

func switchover(s *v1.SwitchoverStatus, now time.Time) string {
	if s == nil {
		return ""
	}

	ago := span(now.Sub(s.StartedAt.Time)) + " ago: "

	switch s.Result {
	case v1.SwitchoverCompleted:
		if s.From == s.To {
			return ago + s.To + " led already"
		}

		return ago + "from " + s.From + " to " + s.To
	case v1.SwitchoverInProgress:
		return ago + "from " + s.From + ", under way"
	case v1.SwitchoverFailed, v1.SwitchoverRefused:
		return ago + strings.ToLower(string(s.Result)) + ": " + s.Message
	default:
		return ago + string(s.Result)
	}
}

func certificates(all []v1.CertificateStatus, now time.Time) string {
	parts := make([]string, 0, len(all))
	for _, certificate := range all {
		parts = append(parts, certificate.Secret+" in "+span(certificate.NotAfter.Sub(now)))
	}

	if len(parts) == 0 {
		return ""
	}

	return "end: " + strings.Join(parts, ", ")
}

// column of the table; it can be left out if the table would be too wide.
type column struct {
	title string
	cell  func(Instance) string
	spare bool
}

func columns(view View, now time.Time) []column {
	all := []column{
		{title: "INSTANCE", cell: func(i Instance) string { return i.Name }},
		{title: "ROLE", cell: func(i Instance) string { return i.Role }},
		{title: "READY", cell: func(i Instance) string { return map[bool]string{true: "yes", false: "no"}[i.Ready] }},
		{title: "STATE", cell: func(i Instance) string { return i.State }},
		{title: "NODE", spare: true, cell: func(i Instance) string { return i.Node }},
		{title: "SYNC", cell: func(i Instance) string { return i.SyncState }},
		{title: "STREAMING", cell: func(i Instance) string { return since(i.Streaming, now) }},
		{title: "LAG", cell: lag},
		{title: "DISK", cell: disk},
	}

	for _, instance := range view.Instances {
		if instance.Version != "" && instance.Version != view.Version {
			return append(all, column{title: "VERSION", cell: func(i Instance) string { return i.Version }})
		}
	}

	return all
}

// table of the instances, as wide as it may be.
func table(view View, now time.Time) string {
	use := columns(view, now)

	text := layOut(view.Instances, use)
	if !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool { return len(line) > width }) {
		return text
	}

	var kept []column

	for _, c := range use {
		if !c.spare {
			kept = append(kept, c)
		}
	}

	return layOut(view.Instances, kept)
}

func layOut(instances []Instance, use []column) string {
	rows := make([]string, len(instances)+1)

	for n, c := range use {
		cells := []string{c.title}
		longest := len(c.title)

		for _, instance := range instances {
			cell := orElse(c.cell(instance), "-")
			cells = append(cells, cell)
			longest = max(longest, len(cell))
		}

		for i, cell := range cells {
			if n < len(use)-1 {
				cell = fmt.Sprintf("%-*s  ", longest, cell)
			}

			rows[i] += cell
		}
	}

	return strings.Join(rows, "\n") + "\n"
}

func since(t *metav1.Time, now time.Time) string {
	if t == nil {
		return ""
	}

	return span(now.Sub(t.Time))
}

// lag is what a replica has not flushed; what it has not replayed is told if that is more.
func lag(i Instance) string {
	if i.FlushLagBytes == nil {
		return ""
	}

	text := size(*i.FlushLagBytes)
	if i.ReplayLagBytes != nil && *i.ReplayLagBytes > *i.FlushLagBytes {
		text = size(*i.ReplayLagBytes)
	}

	if i.ReplayLagSeconds != nil {
		text += fmt.Sprintf(", %.1fs", *i.ReplayLagSeconds)
	}

	return text
}

func disk(i Instance) string {
	if i.Disk == nil {
		return ""
	}

	text := fmt.Sprintf("%d%% of %s", i.Disk.UsedPercent(), size(i.Disk.TotalBytes))
	if i.Disk.ReadOnly {
		text += ", read-only"
	}

	return text
}

func troubles(view View) []string {
	var lines []string

	for _, instance := range view.Instances {
		if !instance.Ready {
			lines = append(lines, instance.Name+": "+orElse(instance.Message, orElse(instance.State, "it has no pod")))
		}
	}

	return lines
}

func conditionLines(conditions []metav1.Condition) []string {
	lines := make([]string, 0, len(conditions))
	for _, c := range conditions {
		lines = append(lines, fmt.Sprintf("%s is %s (%s): %s", c.Type, c.Status, c.Reason, c.Message))
	}

	return lines
}

func paragraph(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}

	b.WriteString("\n" + title + "\n")

	for _, line := range lines {
		wrap(b, "  - ", line)
	}
}

func writeAdvice(b *strings.Builder, next []Advice) {
	if len(next) == 0 {
		b.WriteString("\nNothing needs to be done.\n")

		return
	}

	b.WriteString("\nWhat to do next:\n")

	for _, a := range next {
		wrap(b, "  - ", a.Text)

		if a.Command != "" {
			b.WriteString("      " + a.Command + "\n") // whole, so that it can be copied
		}
	}
}

// wrap writes text behind a lead, and what does not fit on lines of their own, indented as much. A word that is longer than
// a line stays whole, so that it can be copied.
func wrap(b *strings.Builder, lead, text string) {
	line, used := lead, 0

	for word := range strings.FieldsSeq(text) {
		if used > 0 && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")

			line, used = strings.Repeat(" ", len(lead)), 0
		}

		if used > 0 {
			line += " "
		}

		line += word
		used++
	}

	b.WriteString(line + "\n")
}

// span is a time in one or two units, as kubectl tells ages.
func span(d time.Duration) string {
	const year = 365 * day

	switch {
	case d < 0:
		return "-" + span(-d)
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d < 2*year:
		return fmt.Sprintf("%dd", int(d/day))
	default:
		return fmt.Sprintf("%dy", int(d/year))
	}
}

// size is a number of bytes in the largest unit that keeps it readable.
func size(bytes int64) string {
	const step = 1024

	value, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	for len(units) > 1 && value >= step {
		value, units = value/step, units[1:]
	}

	if units[0] == "B" || value >= 10 {
		return fmt.Sprintf("%.0f %s", value, units[0])
	}

	return fmt.Sprintf("%.1f %s", value, units[0])
}
