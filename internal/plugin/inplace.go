package plugin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// InPlaceAPI is what a recovery in place needs of the Kubernetes API.
type InPlaceAPI interface {
	RestoreAPI

	// RecoverInPlace sets spec.recoverInPlace of a Cluster.
	RecoverInPlace(ctx context.Context, key types.NamespacedName, wish v1.RecoverInPlace) error
}

// InPlace is a wish to take a Cluster back under its own name, or to take back that it was.
type InPlace struct {
	API   InPlaceAPI
	Clock clock.PassiveClock
	In    io.Reader
	Out   io.Writer
	// Yes: do not ask.
	Yes bool
}

// Recover takes the Cluster of a Backup back to a time, UTC where it names no zone; to the end of the archive if empty.
func (r InPlace) Recover(ctx context.Context, key types.NamespacedName, targetTime string) error {
	restoration := Restoration{API: r.API, Clock: r.Clock, Out: r.Out, Backup: key, TargetTime: targetTime}

	from, err := restoration.source(ctx)
	if err != nil {
		return err
	}

	backup, cluster, target := from.backup, from.origin, from.target
	if from.isGone {
		return fmt.Errorf("Cluster %s, which Backup %s is of, is gone: there is nothing to recover in place; make a new one with --to-cluster", cluster.Name, backup.Name)
	}

	wish := v1.RecoverInPlace{ID: r.id(), Backup: &v1.LocalObjectReference{Name: backup.Name}}
	if target != "" {
		wish.RecoveryTarget = &v1.RecoveryTarget{TargetTime: target}
	}

	err = r.ask("Cluster %s (namespace %s) will be stopped and recovered to %s. What was committed later is not in it afterwards.\n"+
		"Its %d volumes are set aside, and stay until you delete them; new ones are made.",
		cluster.Name, cluster.Namespace, orElse(target, "the end of the archive"), len(cluster.Status.Members))
	if err != nil {
		return err
	}

	return r.set(ctx, cluster, wish)
}

// Undo takes the volumes that an earlier recovery set aside into use again: those of the one that is named, or of the last.
func (r InPlace) Undo(ctx context.Context, key types.NamespacedName, id string) error {
	cluster, err := find(ctx, r.API, key)
	if err != nil {
		return err
	}

	if id == "" {
		if id, err = lastSetAside(cluster); err != nil {
			return err
		}
	}

	i := slices.IndexFunc(cluster.Status.SetAside, func(s v1.SetAsideStatus) bool { return s.ID == id && !s.Incomplete })
	if i < 0 {
		return fmt.Errorf("nothing that one could go back to was set aside by %q; status.setAside of Cluster %s has what there is", id, cluster.Name)
	}

	err = r.ask("Cluster %s (namespace %s) will be stopped and go on with the volumes %s, as they were.\n"+
		"Those that it uses now are set aside, and stay until you delete them.",
		cluster.Name, cluster.Namespace, strings.Join(cluster.Status.SetAside[i].Volumes, ", "))
	if err != nil {
		return err
	}

	return r.set(ctx, cluster, v1.RecoverInPlace{ID: r.id(), SetAside: id})
}

// lastSetAside is what the last recovery set aside, or the only thing that there is.
func lastSetAside(cluster *v1.Cluster) (string, error) {
	var ids []string

	for _, set := range cluster.Status.SetAside {
		if set.Incomplete {
			continue
		}

		if last := cluster.Status.RecoverInPlace; last != nil && set.ID == last.ID {
			return set.ID, nil
		}

		ids = append(ids, set.ID)
	}

	switch len(ids) {
	case 0:
		return "", fmt.Errorf("Cluster %s has no volumes that were set aside: there is nothing to go back to", cluster.Name)
	case 1:
		return ids[0], nil
	default:
		return "", fmt.Errorf("Cluster %s has several sets of volumes that were set aside: name one of %s with --set-aside", cluster.Name, strings.Join(ids, ", "))
	}
}

func (r InPlace) set(ctx context.Context, cluster *v1.Cluster, wish v1.RecoverInPlace) error {
	key := types.NamespacedName{Namespace: cluster.Namespace, Name: cluster.Name}
	if err := r.API.RecoverInPlace(ctx, key, wish); err != nil {
		return fmt.Errorf("ask for the recovery: %w", err)
	}

	return say(r.Out, "Asked for recovery %s. How far it is:\n  kubectl -n %s get pgc %s --watch\n"+
		"Once all is well, and only then, delete what was set aside:\n  kubectl -n %s delete pvc -l %s=%s,%s=%s\nTo go back instead:\n  kubectl caretaker restore --undo %s -n %s",
		wish.ID, key.Namespace, key.Name, key.Namespace, naming.LabelCluster, key.Name, naming.LabelSetAside, wish.ID, key.Name, key.Namespace)
}

// id is another for each second.
func (r InPlace) id() string { return r.Clock.Now().UTC().Format("20060102150405") }

// ask goes on only if the user means it.
func (r InPlace) ask(format string, args ...any) error {
	if err := say(r.Out, format, args...); err != nil || r.Yes {
		return err
	}

	if err := say(r.Out, "Type yes to go on:"); err != nil {
		return err
	}

	answer, err := bufio.NewReader(r.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}

	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was changed; with --yes it does not ask")
	}

	return nil
}
