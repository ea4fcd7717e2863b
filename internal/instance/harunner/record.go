package harunner

import (
	"fmt"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// ToRecord is the protocol's view of a record that has a primary.
func ToRecord(spec postgresqlv1.ClusterTermSpec) (*ha.Record, error) {
	r := &ha.Record{SystemID: spec.SystemID, Rule: ha.Rule{
		Term: uint64(spec.Term), Timeline: uint32(spec.Timeline), Acks: int(spec.Acks), //nolint:gosec // never negative
	}}
	r.Seq = uint64(spec.Seq) //nolint:gosec // never negative

	if holder := spec.Primary; holder != nil {
		r.Primary = ha.Holder{
			Member: ha.MemberID(holder.MemberID), Name: holder.Name, PodUID: holder.PodUID,
			Run: uint64(holder.Run), //nolint:gosec // never negative
		}
	}

	for _, voter := range spec.Voters {
		r.Voters = append(r.Voters, ha.MemberID(voter))
	}

	p := spec.Pending
	if p == nil {
		return r, nil
	}

	r.Pending = &ha.Pending{
		Term: uint64(p.Term), Timeline: uint32(p.Timeline), //nolint:gosec // never negative
		Candidate: ha.Instance{ID: ha.MemberID(p.Candidate), Name: p.CandidateName},
		Forced:    p.Forced, OldStopped: p.OldStopped, Request: p.Request, Target: ha.MemberID(p.Target),
	}

	if p.MinLSN != "" {
		lsn, err := postgres.ParseLSN(p.MinLSN)
		if err != nil {
			return nil, fmt.Errorf("the record's pending.minLSN: %w", err)
		}

		r.Pending.MinLSN = uint64(lsn)
	}

	return r, nil
}

// FromRecord writes the protocol's record over a spec; what the protocol does not know stays.
func FromRecord(r *ha.Record, bootstrap string) postgresqlv1.ClusterTermSpec {
	spec := postgresqlv1.ClusterTermSpec{
		Term: int64(r.Term), Timeline: int64(r.Timeline), SystemID: r.SystemID, Acks: int32(r.Acks), //nolint:gosec // small
		Bootstrap: bootstrap, Established: true, Seq: int64(r.Seq), //nolint:gosec // it counts
		Primary: &postgresqlv1.TermHolder{
			MemberID: string(r.Primary.Member), Name: r.Primary.Name, PodUID: r.Primary.PodUID,
			Run: int64(r.Primary.Run), //nolint:gosec // made with 48 bits
		},
	}

	for _, voter := range r.Voters {
		spec.Voters = append(spec.Voters, string(voter))
	}

	if p := r.Pending; p != nil {
		spec.Pending = &postgresqlv1.PendingTerm{
			Term: int64(p.Term), Timeline: int64(p.Timeline), //nolint:gosec // small
			Candidate: string(p.Candidate.ID), CandidateName: p.Candidate.Name,
			Forced: p.Forced, OldStopped: p.OldStopped, Request: p.Request, Target: string(p.Target),
		}
		if p.MinLSN != 0 {
			spec.Pending.MinLSN = postgres.LSN(p.MinLSN).String()
		}
	}

	return spec
}
