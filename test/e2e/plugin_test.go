package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/plugin"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestPlugin uses kubectl caretaker as it was built, as a user does: how is the Cluster, another primary, and how is it now? What status
// says of a failover is looked at where there is one: see TestFailover.
func TestPlugin(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "plugin")
	f.start(t, f.newCluster(3))
	p := &pluginTest{fixture: f, terminal: f.terminal(t)}

	step(t, p, "status of a Cluster that is well", tellsHowItIs)
	step(t, p, "what cannot be promoted", refusesToPromote)
	step(t, p, "promote", promotes)
	step(t, p, "status names the switchover", tellsOfTheSwitchover)
}

type pluginTest struct {
	*fixture

	terminal terminal
	// before the switchover it was so, and to is the replica that was promoted.
	before plugin.View
	to     string
}

func tellsHowItIs(t *testing.T, p *pluginTest) {
	t.Helper()

	p.before = p.waitHealthy(t)
	primary, replicas := p.before.Primary, p.replicas(t)

	if got := p.sql(t, primary, "postgres", "SELECT pg_is_in_recovery() || ' ' || count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"); got != "false 2" {
		t.Errorf("it names %s as the primary, and two replicas that count; there it is %q", primary, got)
	}

	// A replica whose WAL sender the primary ends, so that it takes up who counts, streams again within a second: "-" is true until then.
	printed := p.terminal.waitStatus(t,
		`Cluster db \(namespace `+p.namespace+`\) is healthy: 3 of 3 instances serve\.`,
		fmt.Sprintf(`  Primary: +%s, term %d, timeline %d`, primary, p.before.Term, p.before.TimelineID),
		`  PostgreSQL: +\d+\.\d+ \(`+image(mainMajor)+`\)`,
		`  Commits: +acknowledged once 1 of `+replicas[0]+` and `+replicas[1]+` has them too \(required\)`,
		`INSTANCE +ROLE +READY +STATE .*SYNC +STREAMING +LAG +DISK`,
		primary+` +primary +yes +Running .*- +- +- +\d+% of .*`,
		replicas[0]+` +replica +yes +Running .*quorum +\d+[sm] +\d.* +\d+% of .*`,
		replicas[1]+` +replica +yes +Running .*quorum +\d+[sm] +\d.* +\d+% of .*`,
	)

	if strings.Contains(printed, "Last ") {
		t.Error("it tells of a failover or a switchover, and there was none")
	}
}

func refusesToPromote(t *testing.T, p *pluginTest) {
	t.Helper()

	primary := p.before.Primary

	for _, tc := range []struct {
		arguments string
		code      int
		says      string
	}{
		{"db db-9", 1, `error: db-9 is no instance of Cluster db, which has .*` + primary + ` \(the primary\).*`},
		{"shop " + primary, 1, `error: namespace ` + p.namespace + ` has no Cluster shop, but db`},
		{"db", 1, `error: accepts 2 arg\(s\), received 1`},
		// A script that is run twice does not fail.
		{"db " + primary, 0, fmt.Sprintf(`%s is the primary already, in term %d\. There is nothing to do\.`, primary, p.before.Term)},
	} {
		printed, code := p.terminal.try(t.Context(), "kubectl caretaker promote "+tc.arguments)
		t.Logf("promote %s: exit code %d, %s", tc.arguments, code, printed)

		if code != tc.code {
			t.Errorf("promote %s: exit code %d, not %d", tc.arguments, code, tc.code)
		}

		says(t, printed, tc.says)
	}

	if cluster := p.cluster(t); cluster.Annotations[naming.AnnotationSwitchover] != "" || cluster.Status.LastSwitchover != nil {
		t.Errorf("a switchover was asked for all the same: %q, %+v", cluster.Annotations[naming.AnnotationSwitchover], cluster.Status.LastSwitchover)
	}
}

func promotes(t *testing.T, p *pluginTest) {
	t.Helper()

	p.to = p.replicas(t)[1]
	p.sql(t, p.before.Primary, "app", "CREATE TABLE kept AS SELECT 42 AS answer")

	printed := p.promote(t)
	from := p.before.Primary

	// It ends when it is so: nothing is waited for here.
	for instance, want := range map[string]string{from: "true 42", p.to: "false 42"} {
		if got := p.sql(t, instance, "app", "SELECT pg_is_in_recovery() || ' ' || answer FROM kept"); got != want {
			t.Errorf("%s is in recovery, and has: %s, not %s", instance, got, want)
		}
	}

	steps := regexp.MustCompile(`(?s)^ +\d+\.\d s  asked for a switchover from ` + from + ` to ` + p.to + `\n.*told ` + from + ` to hand over\n.* ` +
		p.to + ` leads, term \d+, timeline \d+\n.* ` + from + ` follows it; done\n$`)
	if !steps.MatchString(printed) {
		t.Errorf("it tells these steps:\n%s\nand not %s", printed, steps)
	}
}

// promote as a user does: on a starved machine the replica may lack the end of the log, which is told, and another leads.
func (p *pluginTest) promote(t *testing.T) string {
	t.Helper()

	for attempt := 1; ; attempt++ {
		printed, code := p.terminal.try(t.Context(), "kubectl caretaker promote db "+p.to)
		t.Logf("attempt %d, exit code %d:\n%s", attempt, code, printed)

		switch {
		case code == 0:
			return printed
		case attempt == 3 || !regexp.MustCompile(`error: db-\d leads, not `+p.to+`, which had not all of`).MatchString(printed):
			t.Fatal("it was not promoted")
		default:
			p.before = p.waitHealthy(t)
		}
	}
}

func tellsOfTheSwitchover(t *testing.T, p *pluginTest) {
	t.Helper()

	after := p.waitHealthy(t)
	if after.Primary != p.to || after.Term <= p.before.Term || after.TimelineID <= p.before.TimelineID {
		t.Errorf("%s leads, term %d, timeline %d; before it was %s, %d, %d", after.Primary, after.Term, after.TimelineID,
			p.before.Primary, p.before.Term, p.before.TimelineID)
	}

	printed := p.terminal.waitStatus(t,
		fmt.Sprintf(`  Primary: +%s, term %d, timeline %d`, p.to, after.Term, after.TimelineID),
		`  Last switchover: \d+[sm] ago: from `+p.before.Primary+` to `+p.to,
		p.to+` +primary +yes +Running .*`,
		p.before.Primary+` +replica +yes +Running .*quorum .*`,
	)

	if strings.Contains(printed, "Last failover") {
		t.Error("it calls the switchover a failover")
	}
}

// waitHealthy waits until status calls the Cluster healthy and both replicas count, with nothing yet to write.
func (p *pluginTest) waitHealthy(t *testing.T) plugin.View {
	t.Helper()

	var view plugin.View

	kube.Eventually(t, readyTimeout, "status says that all is well", func(ctx context.Context) error {
		printed, code := p.terminal.try(ctx, "kubectl caretaker status db -o json")
		if code != 0 {
			return fmt.Errorf("exit code %d: %s", code, printed)
		}

		view = plugin.View{}
		if err := json.Unmarshal([]byte(printed), &view); err != nil {
			return fmt.Errorf("%s: %w", printed, err)
		}

		count := 0

		for _, instance := range view.Instances {
			if instance.SyncState == "quorum" && instance.Streaming != nil && instance.FlushLagBytes != nil && *instance.FlushLagBytes == 0 {
				count++
			}
		}

		if view.Health != plugin.Healthy || count != 2 {
			return fmt.Errorf("it says %s", printed)
		}

		return nil
	})

	return view
}

// says fails the test for each line that is nowhere in a text; they are regular expressions.
func says(t *testing.T, text string, lines ...string) {
	t.Helper()

	if err := lacks(text, lines...); err != nil {
		t.Error(err)
	}
}

// lacks says which of the lines are nowhere in a text.
func lacks(text string, lines ...string) error {
	for _, line := range lines {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(text) {
			return fmt.Errorf("no line is %q in:\n%s", line, text)
		}
	}

	return nil
}
