package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Kind is what an operation does.
type Kind string

// The kinds of operations.
const (
	// Append adds a value, unique in the run, to a key's list.
	Append Kind = "append"
	// Write sets a register.
	Write Kind = "write"
	// Read reads a register.
	Read Kind = "read"
)

// Outcome is what the client knows of an operation.
type Outcome string

// The outcomes.
const (
	// OK was acknowledged.
	OK Outcome = "ok"
	// Fail has certainly had no effect.
	Fail Outcome = "fail"
	// Unknown may have had an effect, or may still have one.
	Unknown Outcome = "unknown"
)

// Op is one operation of one client.
type Op struct {
	Client int `json:"client"`
	// Connection counts the client's connections.
	Connection int  `json:"connection"`
	Kind       Kind `json:"kind"`
	Key        int  `json:"key"`
	// Value written, or read.
	Value int64 `json:"value"`
	// Invoke and Complete are since the beginning of the run, by the monotonic clock.
	Invoke   time.Duration `json:"invoke"`
	Complete time.Duration `json:"complete"`
	Outcome  Outcome       `json:"outcome"`
	// Timeline that the server wrote, as seen in the operation's own transaction; 0 if a standby answered.
	Timeline int64 `json:"timeline,omitempty"`
	// System is PostgreSQL's system identifier.
	System string `json:"system,omitempty"`
	// Server is the backend: its address, process ID, and when its postmaster started.
	Server string `json:"server,omitempty"`
	// Error that the client saw.
	Error string `json:"error,omitempty"`
}

// Writes says whether the operation changes something.
func (o Op) Writes() bool { return o.Kind != Read }

// Recorder collects operations; any number of clients may use it.
type Recorder struct {
	mu  sync.Mutex
	ops []Op
}

// Add an operation.
func (r *Recorder) Add(op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.ops = append(r.ops, op)
}

// Ops so far, in the order of their answers.
func (r *Recorder) Ops() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()

	return append([]Op(nil), r.ops...)
}

// Save writes operations to a file.
func Save(path string, ops []Op) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("save history: %w", err)
	}

	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("save history: %w", err)
	}

	err = write(file, ops)
	if closing := file.Close(); err == nil {
		err = closing
	}

	if err != nil {
		return fmt.Errorf("save history %s: %w", path, err)
	}

	return nil
}

func write(to io.Writer, ops []Op) error {
	out := bufio.NewWriter(to)
	encoder := json.NewEncoder(out)

	for _, op := range ops {
		if err := encoder.Encode(op); err != nil {
			return err
		}
	}

	return out.Flush()
}

// Load reads the operations of a file.
func Load(path string) ([]Op, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}

	defer func() { _ = file.Close() }()

	var ops []Op

	decoder := json.NewDecoder(bufio.NewReader(file))
	for decoder.More() {
		var op Op
		if err := decoder.Decode(&op); err != nil {
			return nil, fmt.Errorf("load history %s, line %d: %w", path, len(ops)+1, err)
		}

		ops = append(ops, op)
	}

	return ops, nil
}
