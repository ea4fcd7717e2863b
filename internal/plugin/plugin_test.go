package plugin_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/plugin"
)

var update = flag.Bool("update", false, "write the expected texts anew")

var (
	now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	key = types.NamespacedName{Namespace: "web", Name: "shop"}
)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// fake is a Kubernetes API with one Cluster.
type fake struct {
	cluster *v1.Cluster
	live    map[string]instanceapi.Status
	liveErr error
	// annotated is what was set; react is called at each later look.
	annotated map[string]string
	react     func(look int, cluster *v1.Cluster)
	looks     int
}

func (f *fake) Cluster(_ context.Context, k types.NamespacedName) (*v1.Cluster, error) {
	if f.cluster == nil || k != key {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "clusters"}, k.Name)
	}

	if f.annotated != nil && f.react != nil {
		f.looks++
		f.react(f.looks, f.cluster)
	}

	return f.cluster.DeepCopy(), nil
}

func (f *fake) Clusters(context.Context, string) ([]string, error) {
	return []string{"shop", "stock"}, nil
}

func (f *fake) Annotate(_ context.Context, _ types.NamespacedName, name, value string) error {
	f.annotated = map[string]string{name: value}

	return nil
}

func (f *fake) Live(_ context.Context, _, pod string) (instanceapi.Status, error) {
	if f.liveErr != nil {
		return instanceapi.Status{}, f.liveErr
	}

	status, ok := f.live[pod]
	if !ok {
		return instanceapi.Status{}, errors.New("no answer within 4s")
	}

	return status, nil
}

func whole() *fake {
	member := func(n int, role v1.MemberRole, sync string) v1.MemberStatus {
		m := v1.MemberStatus{
			Name: fmt.Sprintf("shop-%d", n), Role: role, Ready: true, State: "Running", Node: fmt.Sprintf("node-%d", n+1),
			Version: "17.11", SyncState: sync,
		}
		if role == v1.RoleReplica {
			m.Streaming = new(ago(5 * time.Minute))
		}

		return m
	}
	cluster := &v1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Annotations: map[string]string{}},
		Spec:       v1.ClusterSpec{Instances: 3, Storage: v1.StorageConfiguration{Size: "10Gi"}},
		Status: v1.ClusterStatus{
			Primary: "shop-0", Term: 4, TimelineID: 4, Version: "17.11", Image: "registry.example/postgresql:17.11", DataDurability: v1.DurabilityRequired,
			Members: []v1.MemberStatus{
				member(0, v1.RolePrimary, ""), member(1, v1.RoleReplica, "quorum"), member(2, v1.RoleReplica, "quorum"),
			},
			Certificates: []v1.CertificateStatus{{Secret: "shop-server", NotAfter: ago(-80 * 24 * time.Hour)}},
			Conditions: []metav1.Condition{
				{Type: v1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1.ReasonReady, Message: "3 of 3 instances ready"},
				{Type: v1.ConditionSyncReplication, Status: metav1.ConditionTrue, Reason: v1.ReasonSynchronous, Message: "a commit is on 1 of 2 replicas before it is acknowledged (required)"},
			},
		},
	}

	disk := func(free int64) *instanceapi.Disk {
		return &instanceapi.Disk{TotalBytes: 10 << 30, FreeBytes: free << 30}
	}

	return &fake{cluster: cluster, live: map[string]instanceapi.Status{
		"shop-0": {
			Instance: "shop-0", Role: instanceapi.RolePrimary, Ready: true, State: instanceapi.StateRunning, Disk: disk(6),
			Log:      &instanceapi.Log{LSN: "0/5000060"},
			Protocol: &instanceapi.Protocol{Phase: "Primary", Authority: true, Acks: 1, Voters: []string{"shop-1", "shop-2"}},
			Replicas: []instanceapi.ReplicaStatus{
				{Instance: "shop-1", State: "streaming", SyncState: "quorum", FlushLagBytes: new(int64(0)), ReplayLagBytes: new(int64(0)), ReplayLagSeconds: new(0.0)},
				{Instance: "shop-2", State: "streaming", SyncState: "quorum", FlushLagBytes: new(int64(512)), ReplayLagBytes: new(int64(3 << 20)), ReplayLagSeconds: new(1.25)},
			},
		},
		"shop-1": {Instance: "shop-1", Role: instanceapi.RoleReplica, Ready: true, State: instanceapi.StateRunning, Disk: disk(6)},
		"shop-2": {Instance: "shop-2", Role: instanceapi.RoleReplica, Ready: true, State: instanceapi.StateRunning, Disk: disk(5)},
	}}
}

func set(cluster *v1.Cluster, c metav1.Condition) {
	for i := range cluster.Status.Conditions {
		if cluster.Status.Conditions[i].Type == c.Type {
			cluster.Status.Conditions[i] = c

			return
		}
	}

	cluster.Status.Conditions = append(cluster.Status.Conditions, c)
}

// TestStatus: what people read, one text for each situation.
func TestStatus(t *testing.T) {
	for name, change := range map[string]func(*fake){
		"healthy": func(f *fake) {
			f.cluster.Status.LastSwitchover = &v1.SwitchoverStatus{
				Request: "shop-0/x", From: "shop-1", To: "shop-0", Result: v1.SwitchoverCompleted, StartedAt: ago(26 * time.Hour),
			}
		},
		"failed over": func(f *fake) {
			f.cluster.Status.LastFailover = &v1.FailoverStatus{
				From: "shop-2", To: "shop-0", Term: 4, At: ago(3 * time.Hour), Reason: "the primary is silent", TimelineID: 4, ForkLSN: "0/5000060",
				GapMilliseconds: new(int64(4230)), Returned: v1.RejoinRewound, BytesDiscarded: new(int64(1234)),
				DivergentWAL: "/var/lib/postgresql/data/caretaker/diverged/timeline-3-from-0-5000060",
			}
		},
		"no right to exec": func(f *fake) { f.liveErr = plugin.ErrNoRight },
		"a replica's node is gone": func(f *fake) {
			delete(f.live, "shop-2")
			m := &f.cluster.Status.Members[2]
			m.Ready, m.State, m.Streaming, m.Message = false, "Unreachable", nil, "its node node-3 does not answer; a pod takes its place when Kubernetes gives the node up"
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonInstanceUnreachable,
				Message: "shop-2 does not answer (2 of 3 instances ready)",
			})
		},
		"the operator is behind": func(f *fake) {
			delete(f.live, "shop-0")
			p := f.live["shop-1"]
			p.Role, p.Term, p.TimelineID = instanceapi.RolePrimary, 5, 5
			p.Protocol = &instanceapi.Protocol{Phase: "Primary", Authority: true, Acks: 1, Voters: []string{"shop-2"}}
			f.live["shop-1"] = p
		},
		"a volume is nearly full": func(f *fake) {
			p := f.live["shop-1"]
			p.Disk = &instanceapi.Disk{TotalBytes: 10 << 30, FreeBytes: 300 << 20, ReadOnly: true}
			f.live["shop-1"] = p
		},
		"a file system that others use too has little left": func(f *fake) {
			p := f.live["shop-1"]
			p.Disk = &instanceapi.Disk{TotalBytes: 252 << 30, FreeBytes: 9 << 30}
			f.live["shop-1"] = p
		},
		"a file system that others use too has enough left": func(f *fake) {
			p := f.live["shop-1"]
			p.Disk = &instanceapi.Disk{TotalBytes: 252 << 30, FreeBytes: 30 << 30}
			f.live["shop-1"] = p
		},
		"the primary's volume is full": func(f *fake) {
			p := f.live["shop-0"]
			p.Disk = &instanceapi.Disk{TotalBytes: 10 << 30, FreeBytes: 300 << 20, ReadOnly: true}
			f.live["shop-0"] = p
			message := "shop-0 refuses writes, since its volume is nearly full; reads go on. Make spec.storage.size larger than 10Gi, and writes resume by themselves"
			set(f.cluster, metav1.Condition{Type: v1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1.ReasonVolumeFull, Message: message})
			set(f.cluster, metav1.Condition{Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonVolumeFull, Message: message})
			set(f.cluster, metav1.Condition{Type: v1.ConditionDiskSpace, Status: metav1.ConditionFalse, Reason: v1.ReasonVolumeFull, Message: message})
		},
		"stalled": func(f *fake) {
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1.ReasonInvalidParameters,
				Message: "spec.postgresql.parameters: work_mem: 4 bananas is no amount of memory; write a number with kB, MB or GB",
			})
			set(f.cluster, metav1.Condition{Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonInvalidParameters, Message: "see Stalled"})
		},
		"hibernated": func(f *fake) {
			f.cluster.Annotations[naming.AnnotationHibernate] = "on"
			for i := range f.cluster.Status.Members {
				f.cluster.Status.Members[i] = v1.MemberStatus{Name: f.cluster.Status.Members[i].Name}
			}
			set(f.cluster, metav1.Condition{Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonHibernated, Message: "Hibernated: no instance runs"})
		},
		"paused, certificate at its end": func(f *fake) {
			f.cluster.Annotations[naming.AnnotationPaused] = "true"
			f.cluster.Status.Certificates[0].NotAfter = ago(-30 * time.Hour)
		},
		"new": func(f *fake) { f.cluster.Status = v1.ClusterStatus{} },
		"recovered from a backup": func(f *fake) {
			f.cluster.Status.Recovery = &v1.RecoveryStatus{
				Backup: "shop-daily", Target: "time 2026-11-20 09:30:00+00 (UTC)", ReachedLSN: "0/5000060", ReachedAt: new(ago(20 * time.Minute)),
			}
		},
		"recovering in place": func(f *fake) {
			f.recoversInPlace(v1.InPlaceRecovering)
			f.cluster.Status.Term, f.cluster.Status.Primary = 0, "shop-3"
			f.cluster.Status.Members = []v1.MemberStatus{{Name: "shop-3", State: "Initializing", Node: "node-1", Message: "replaying WAL up to just after 2026-11-20 09:30:00 UTC"}}
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: "Initializing",
				Message: "Waiting for shop-3: replaying WAL up to just after 2026-11-20 09:30:00 UTC (0 of 3 instances ready)",
			})
		},
		"stopping to recover in place": func(f *fake) {
			f.recoversInPlace(v1.InPlaceStopping)
			f.cluster.Status.SetAside, f.live = nil, nil
			for i := range f.cluster.Status.Members {
				f.cluster.Status.Members[i] = v1.MemberStatus{Name: f.cluster.Status.Members[i].Name}
			}
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonRecoveringInPlace,
				Message: "Recovering in place (Stopping): stopping the instances, 2 more",
			})
		},
		"recovered in place": func(f *fake) {
			f.recoversInPlace(v1.InPlaceCompleted)
			f.cluster.Status.RecoverInPlace.CompletedAt = new(ago(10 * time.Minute))
		},
		"backed up and proved": func(f *fake) {
			archived(f, instanceapi.Archiving{
				LastWAL: "000000040000000000000005", LastTime: new(now.Add(-12 * time.Second)), Exposure: &instanceapi.Exposure{},
			})
			f.cluster.Status.Backups = &v1.BackupsStatus{
				FirstRecoverabilityPoint: new(ago(30 * 24 * time.Hour)), LastSuccessfulBackup: new(ago(10 * time.Hour)),
				LastSuccessfulBackupName: "shop-nightly-20261120020000", LastFailedBackup: new(ago(72 * time.Hour)),
				LastVerified: new(ago(6 * 24 * time.Hour)), EstimatedRecoverySeconds: 12 * 60,
				LastDrill: &v1.DrillStatus{Succeeded: true, StoppedAt: new(ago(6 * 24 * time.Hour))},
				Copies: []v1.ArchiveCopyStatus{
					{Name: "elsewhere", CopiedUntil: new(ago(4 * time.Minute)), Backups: 7},
					{Name: "tape", CopiedUntil: new(ago(5 * time.Hour)), Backups: 2, FailingSince: new(ago(3 * time.Hour)), Failure: "403 Forbidden"},
					{Name: "new"},
				},
			}
		},
		"the archive is behind": func(f *fake) {
			archived(f, instanceapi.Archiving{
				LastWAL: "000000040000000000000005", LastTime: new(now.Add(-50 * time.Minute)), Waiting: 190,
				FailingSince: new(now.Add(-48 * time.Minute)), Exposure: &instanceapi.Exposure{Since: new(now.Add(-49 * time.Minute))},
			})
			f.cluster.Status.Backups = &v1.BackupsStatus{
				LastFailedBackup: new(ago(40 * time.Minute)), LastVerified: new(ago(6 * 24 * time.Hour)),
				LastDrill: &v1.DrillStatus{StoppedAt: new(ago(24 * time.Hour))},
			}
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionContinuousArchiving, Status: metav1.ConditionFalse, Reason: v1.ReasonArchivingFailed,
				Message: "WAL has not reached the archive since 2026-11-20T11:12:00Z: 503 Slow Down",
			})
		},
		"the archive has a gap": func(f *fake) {
			archived(f, instanceapi.Archiving{
				LastWAL: "000000040000000000000019", LastTime: new(now.Add(-12 * time.Second)), FailingSince: new(now.Add(-12 * time.Second)),
				Missing: "000000040000000000000012 to 000000040000000000000018 on timeline 4", Exposure: &instanceapi.Exposure{},
			})
		},
		"archived, never backed up, the primary says nothing": func(f *fake) {
			archived(f, instanceapi.Archiving{})
			f.liveErr = plugin.ErrNoRight
		},
		"the archive is behind, by the operator's word": func(f *fake) {
			archived(f, instanceapi.Archiving{})
			f.liveErr = plugin.ErrNoRight
			f.cluster.Status.Archiving.LastFailure = &v1.ArchiveFailure{Since: ago(48 * time.Minute), Reason: "503 Slow Down"}
			f.cluster.Status.Backups = &v1.BackupsStatus{LastSuccessfulBackup: new(ago(10 * time.Hour)), LastSuccessfulBackupName: "nightly"}
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionContinuousArchiving, Status: metav1.ConditionFalse, Reason: v1.ReasonArchivingFailed,
				Message: "WAL has not reached the archive since 2026-11-20T11:12:00Z: 503 Slow Down",
			})
		},
		"no backup yet": func(f *fake) {
			archived(f, instanceapi.Archiving{
				LastWAL: "000000040000000000000005", LastTime: new(now.Add(-12 * time.Second)), Exposure: &instanceapi.Exposure{},
			})
		},
		"nothing archived yet": func(f *fake) {
			archived(f, instanceapi.Archiving{Exposure: &instanceapi.Exposure{}})
			f.cluster.Status.Archiving = &v1.ArchivingStatus{ServerName: "shop"}
		},
		"the backup is too old, and the operator does not say so": func(f *fake) {
			archived(f, instanceapi.Archiving{
				LastWAL: "000000040000000000000005", LastTime: new(now.Add(-12 * time.Second)), Exposure: &instanceapi.Exposure{},
			})
			f.cluster.Status.Backups = &v1.BackupsStatus{
				LastSuccessfulBackup: new(ago(58 * time.Hour)), LastSuccessfulBackupName: "nightly", FreshUntil: new(ago(10 * time.Hour)),
			}
			set(f.cluster, metav1.Condition{Type: v1.ConditionBackedUp, Status: metav1.ConditionTrue, Reason: v1.ReasonBackedUp})
		},
		"the last drill failed": func(f *fake) {
			archived(f, instanceapi.Archiving{
				LastWAL: "000000040000000000000005", LastTime: new(now.Add(-12 * time.Second)), Exposure: &instanceapi.Exposure{},
			})
			f.cluster.Status.Backups = &v1.BackupsStatus{
				LastSuccessfulBackup: new(ago(10 * time.Hour)), LastSuccessfulBackupName: "nightly",
				LastDrill: &v1.DrillStatus{Backup: "nightly", StoppedAt: new(ago(2 * time.Hour)), Message: "check orders: the newest is 3 days old"},
			}
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionBackupVerified, Status: metav1.ConditionFalse, Reason: v1.ReasonDrillFailed,
				Message: "the drill of 2026-11-20T10:00:00Z with Backup nightly failed: check orders: the newest is 3 days old",
			})
		},
		"a replica is copied anew while the archive is behind": func(f *fake) {
			archived(f, instanceapi.Archiving{
				LastWAL: "000000040000000000000005", LastTime: new(now.Add(-50 * time.Minute)), Waiting: 190,
				FailingSince: new(now.Add(-48 * time.Minute)), Exposure: &instanceapi.Exposure{Since: new(now.Add(-49 * time.Minute))},
			})
			f.cluster.Status.Backups = &v1.BackupsStatus{LastSuccessfulBackup: new(ago(10 * time.Hour)), LastSuccessfulBackupName: "nightly"}
			f.replicaIs(instanceapi.StateCloning, "copying the primary shop-0")
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonCloningReplicas,
				Message: "Cloning 1 replica from shop-0 (40%); 2 of 3 instances ready",
			})
		},
		"the primary's node is gone, and the operator with it": func(f *fake) {
			// The replicas are about to elect one of them.
			delete(f.live, "shop-0")
			f.replicaIs(instanceapi.StateRunning, "the primary shop-0 is silent")
		},
		"the primary's node is gone": func(f *fake) {
			delete(f.live, "shop-0")
			f.replicaIs(instanceapi.StateRunning, "the primary shop-0 is silent")
			m := &f.cluster.Status.Members[0]
			m.Ready, m.State, m.Message = false, "Unreachable", "no answer on port 8000 since 11:59:48 UTC; look at its node, its log, and network policies"
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonInstanceUnreachable,
				Message: "Waiting for shop-0: no answer on port 8000 since 11:59:48 UTC (1 of 3 instances ready)",
			})
		},
		"one of two is left": func(f *fake) {
			f.cluster.Spec.Instances, f.cluster.Status.DataDurability = 2, v1.DurabilityPreferred
			f.cluster.Status.Members = f.cluster.Status.Members[:2]
			delete(f.live, "shop-1")
			m := &f.cluster.Status.Members[1]
			m.Ready, m.State, m.Streaming, m.Message = false, "Unreachable", nil, "no answer on port 8000 since 11:59:48 UTC; look at its node, its log, and network policies"
			p := f.live["shop-0"]
			p.Protocol, p.Replicas = &instanceapi.Protocol{Phase: "Primary", Authority: true}, nil
			f.live["shop-0"] = p
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonInstanceUnreachable,
				Message: "Waiting for shop-1: no answer on port 8000 since 11:59:48 UTC (1 of 2 instances ready)",
			})
			set(f.cluster, metav1.Condition{
				Type: v1.ConditionSyncReplication, Status: metav1.ConditionFalse, Reason: v1.ReasonDegraded,
				Message: "too few replicas are left: commits are not waited for, and there is no automatic failover until one has caught up",
			})
		},
		"failed over, and the old primary was made anew": func(f *fake) {
			f.cluster.Status.LastFailover = &v1.FailoverStatus{
				From: "shop-2", To: "shop-0", Term: 4, At: ago(3 * time.Hour), Reason: "the primary is silent", Returned: v1.RejoinReplaced,
			}
		},
		"failed over to itself": func(f *fake) {
			f.cluster.Status.LastFailover = &v1.FailoverStatus{From: "shop-0", To: "shop-0", Term: 4, At: ago(3 * time.Hour), Reason: "it stopped for good"}
		},
		"failed over, and the old primary was scaled away": func(f *fake) {
			f.cluster.Status.LastFailover = &v1.FailoverStatus{
				From: "shop-3", To: "shop-0", Term: 4, At: ago(3 * time.Hour), Reason: "the primary is silent", Returned: v1.RejoinRemoved,
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := whole()
			change(f)

			view, err := plugin.Gather(t.Context(), f, key, testclock.NewFakePassiveClock(now))
			if err != nil {
				t.Fatal(err)
			}

			var out strings.Builder
			if err := plugin.WriteText(&out, view, now); err != nil {
				t.Fatal(err)
			}

			compare(t, name, out.String())

			for line := range strings.SplitSeq(out.String(), "\n") {
				if len(line) > 100 && !strings.Contains(line, "kubectl") {
					t.Errorf("a line of %d columns: %s", len(line), line)
				}
			}
		})
	}
}

// replicaIs makes shop-2 not ready: it says why itself.
func (f *fake) replicaIs(state instanceapi.State, message string) {
	replica := f.live["shop-2"]
	replica.Ready, replica.State, replica.Message = false, state, message
	f.live["shop-2"] = replica

	m := &f.cluster.Status.Members[2]
	m.Ready, m.State, m.Streaming = false, string(state), nil
}

// recoversInPlace is at a step of it, beside what an earlier one left that did not end.
func (f *fake) recoversInPlace(step v1.InPlaceStep) {
	f.cluster.Status.RecoverInPlace = &v1.RecoverInPlaceStatus{
		ID: "before-the-drop", Step: step, Target: "time 2026-11-20 09:30:00+00 (UTC)", StartedAt: new(ago(12 * time.Minute)),
	}
	f.cluster.Status.SetAside = []v1.SetAsideStatus{
		{ID: "before-the-drop", Volumes: []string{"shop-0", "shop-1", "shop-2"}}, {ID: "too-late", Volumes: []string{"shop-3"}, Incomplete: true},
	}
}

// archived has an archive, of which the primary tells.
func archived(f *fake, told instanceapi.Archiving) {
	f.cluster.Status.Archiving = &v1.ArchivingStatus{LastArchivedWAL: "000000040000000000000004", LastArchivedTime: new(ago(time.Hour))}
	primary := f.live["shop-0"]
	primary.Archiving = &told
	f.live["shop-0"] = primary
}

func compare(t *testing.T, name, got string) {
	t.Helper()

	path := filepath.Join("testdata", strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(name)+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test ./internal/plugin -update writes it anew): -want +got\n%s", path, diff)
	}
}

func TestLongNamesFit(t *testing.T) {
	f := whole()
	for i := range f.cluster.Status.Members {
		f.cluster.Status.Members[i].Name = fmt.Sprintf("a-rather-long-name-of-a-cluster-%d", i)
		f.cluster.Status.Members[i].Node = fmt.Sprintf("ip-10-0-0-%d.eu-central-1.compute.internal", i)
	}

	view, err := plugin.Gather(t.Context(), f, key, testclock.NewFakePassiveClock(now))
	if err != nil {
		t.Fatal(err)
	}

	var out strings.Builder
	if err := plugin.WriteText(&out, view, now); err != nil {
		t.Fatal(err)
	}

	for line := range strings.SplitSeq(out.String(), "\n") {
		if len(line) > 100 && !strings.Contains(line, "kubectl") {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
}

func TestNoSuchCluster(t *testing.T) {
	_, err := plugin.Gather(t.Context(), whole(), types.NamespacedName{Namespace: "web", Name: "shopp"}, testclock.NewFakePassiveClock(now))
	if err == nil || err.Error() != "namespace web has no Cluster shopp, but shop, stock" {
		t.Errorf("got %v", err)
	}
}
