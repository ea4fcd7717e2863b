package check

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/caretaker-dev/caretaker/test/chaos/history"
)

// Undecided is said when the search for an order took too long; it is no violation.
const Undecided = "registers: undecided, the search for an order took too long"

type registerInput struct {
	key   int
	write bool
	value int64
}

// registers start at 0 and are judged one by one.
func registers() porcupine.Model {
	return porcupine.Model{
		Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[int][]porcupine.Operation{}

			for _, op := range ops {
				if input, ok := op.Input.(registerInput); ok {
					byKey[input.key] = append(byKey[input.key], op)
				}
			}

			var parts [][]porcupine.Operation
			for _, part := range byKey {
				parts = append(parts, part)
			}

			return parts
		},
		Init: func() any { return int64(0) },
		Step: func(state, input, output any) (bool, any) {
			in, ok := input.(registerInput)
			if !ok {
				return false, state
			}

			if in.write {
				return true, in.value
			}

			return output == state, state
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v → %v", input, output) },
	}
}

// Registers checks that there is one order of all reads and writes of each register, in keeping with their times, in which each
// read returns the last write: the registers are linearizable. A write whose outcome is unknown may take effect at any time
// after it began, or never.
func Registers(ops []history.Op, limit time.Duration) []string {
	var judged []porcupine.Operation

	for _, op := range ops {
		entry := porcupine.Operation{
			ClientId: op.Client, Call: int64(op.Invoke), Return: int64(op.Complete), Output: op.Value,
			Input: registerInput{key: op.Key, write: op.Kind == history.Write, value: op.Value},
		}

		switch {
		case op.Kind == history.Append || op.Outcome == history.Fail || (op.Kind == history.Read && op.Outcome != history.OK):
			continue
		case op.Outcome == history.Unknown:
			// The client goes on meanwhile, which makes this an operation of nobody's.
			entry.Return = math.MaxInt64
		}

		judged = append(judged, entry)
	}

	switch result := porcupine.CheckOperationsTimeout(registers(), judged, limit); result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return []string{Undecided}
	case porcupine.Illegal:
	}

	return illegal(ops)
}

// illegal looks for plain words for what the search found.
func illegal(ops []history.Op) []string {
	var stale list

	for _, read := range ops {
		if read.Kind != history.Read || read.Outcome != history.OK {
			continue
		}

		if write, over := overwritten(ops, read); over.Value != 0 {
			stale.add("key %d: read %d by %s after %.3f s; it was written at %.3f s, and %d over it until %.3f s", read.Key, read.Value,
				read.Server, read.Invoke.Seconds(), write.Complete.Seconds(), over.Value, over.Complete.Seconds())
		}
	}

	violations := []string{"registers: not linearizable"}

	return append(violations, stale.told("registers: stale reads")...)
}

// overwritten finds the write that a read returned and one over it that was acknowledged before the read began.
func overwritten(ops []history.Op, read history.Op) (write, over history.Op) {
	for _, op := range ops {
		if op.Kind == history.Write && op.Key == read.Key && op.Value == read.Value {
			write = op
		}
	}

	for _, op := range ops {
		if op.Kind == history.Write && op.Key == read.Key && op.Outcome == history.OK && op.Complete < read.Invoke &&
			(read.Value == 0 || (write.Outcome == history.OK && op.Invoke > write.Complete)) {
			over = op
		}
	}

	return write, over
}
