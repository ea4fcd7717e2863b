package instance

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// configuration holds what the operator asks for and turns it into PostgreSQL's files. The main loop sets what only it
// knows (role, upstream, versions); a PUT brings a new Config at any time.
type configuration struct {
	layout layout.Layout
	reload func() error

	mu sync.Mutex
	// input has the Config and everything else that is rendered.
	input serverconf.Input
	hash  string
	err   error
	// written is the hash of the Config that the files were made from and that PostgreSQL was told of.
	written string
	floor   map[string]string
	// isStale: files were written that PostgreSQL was not told of.
	isStale bool
	// started is the restart nonce that PostgreSQL was started under.
	started string
	// older are the hashes of Configs that came before the wanted one.
	older []string
}

// maxOlder bounds them: the kubelet is minutes behind, not hundreds of changes.
const maxOlder = 64

// savedConfig is a Config that was put, as it is kept on the volume. The kubelet takes up to a minute to renew what is
// mounted; a PID 1 that starts in that minute must not go back to the Config from before.
type savedConfig struct {
	// Older are the hashes of what was mounted or put before: the kubelet may renew the mount with any of them. Once
	// something else is mounted, that is newer.
	Older []string `json:"older"`
	// Config as it was encoded.
	Config []byte `json:"config"`
}

// savedFile in the state folder.
const savedFile = "config.json"

func newConfiguration(input serverconf.Input, reload func() error) *configuration {
	return &configuration{
		layout: input.Layout, input: input, reload: reload,
		err: errors.New("the configuration has not been read yet"),
	}
}

// Load reads the mounted Config, or the one that was put since it was mounted.
func (c *configuration) Load() error {
	content, err := os.ReadFile(filepath.Join(c.layout.ConfigDir, instanceapi.ConfigKey))
	if err != nil {
		err = fmt.Errorf("read the configuration: %w", err)
	} else {
		err = c.take(c.newest(content))
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	c.err = err

	return err
}

// newest is the saved Config if it is newer than the mounted one, and otherwise that.
func (c *configuration) newest(mounted []byte) []byte {
	content, err := os.ReadFile(filepath.Join(c.layout.StateDir, savedFile))
	if err != nil {
		return mounted
	}

	var saved savedConfig
	if err := json.Unmarshal(content, &saved); err != nil || !slices.Contains(saved.Older, instanceapi.HashBytes(mounted)) {
		return mounted
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	c.older = saved.Older

	return saved.Config
}

// save keeps a Config that was put. The volume must be ours.
func (c *configuration) save(encoded []byte) error {
	c.mu.Lock()
	older := slices.Clone(c.older)
	c.mu.Unlock()

	content, err := json.Marshal(savedConfig{Older: older, Config: encoded})
	if err != nil {
		return fmt.Errorf("encode the configuration: %w", err)
	}

	_, err = volume.WriteFileIfChanged(filepath.Join(c.layout.StateDir, savedFile), content, 0o600)

	return err
}

// outdate notes that what was wanted, and what is mounted now, came before what is wanted now.
func (c *configuration) outdate(old string) {
	mounted, err := os.ReadFile(filepath.Join(c.layout.ConfigDir, instanceapi.ConfigKey))

	c.mu.Lock()
	defer c.mu.Unlock()

	hashes := []string{old}
	if err == nil {
		hashes = append(hashes, instanceapi.HashBytes(mounted))
	}

	for _, hash := range hashes {
		if hash != "" && !slices.Contains(c.older, hash) {
			c.older = append(c.older, hash)
		}
	}

	// What is wanted again is not old.
	c.older = slices.DeleteFunc(c.older, func(hash string) bool { return hash == c.hash })
	c.older = c.older[max(0, len(c.older)-maxOlder):]
}

// take makes an encoded Config the wanted one.
func (c *configuration) take(encoded []byte) error {
	var config instanceapi.Config
	if err := json.Unmarshal(encoded, &config); err != nil {
		return fmt.Errorf("decode the configuration: %w", err)
	}

	if config.Cluster == "" {
		return errors.New("the configuration names no Cluster")
	}

	if config.Bootstrap.InitDB == nil && config.Bootstrap.PgBaseBackup == nil && config.Bootstrap.Recovery == nil {
		return errors.New("the configuration says nothing of bootstrap")
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	c.input.Config, c.hash, c.err = config, instanceapi.HashBytes(encoded), nil

	return nil
}

// Put takes a Config over and applies it to the server, if it runs.
func (c *configuration) Put(encoded []byte, isUp bool) error { //nolint:revive // a state, not a switch
	before, old := c.Config().ReloadNonce, c.Hash()

	if err := c.take(encoded); err != nil {
		return err
	}

	c.outdate(old)

	if !isUp {
		return nil
	}

	if err := c.Apply(c.Config().ReloadNonce != before); err != nil {
		return err
	}

	// On a full volume it is not kept, and in force all the same: what makes room must not fail for want of room.
	if err := c.save(encoded); err != nil && !errors.Is(err, unix.ENOSPC) {
		return err
	}

	return nil
}

// Config that is wanted.
func (c *configuration) Config() instanceapi.Config {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.input.Config
}

// Hash of the Config that is wanted.
func (c *configuration) Hash() string {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.hash
}

// Err says why there is no Config.
func (c *configuration) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.err
}

// Set changes what is rendered besides the Config.
func (c *configuration) Set(change func(*serverconf.Input)) {
	c.mu.Lock()
	defer c.mu.Unlock()

	change(&c.input)
}

// Apply writes the files that differ, and reloads if any did, or if asked to.
func (c *configuration) Apply(force bool) error { //nolint:revive // told apart by its callers' own conditions
	c.mu.Lock()
	defer c.mu.Unlock()

	if err := c.write(); err != nil {
		return err
	}

	if c.isStale || force {
		if err := c.reload(); err != nil {
			return fmt.Errorf("reload the configuration: %w", err)
		}
	}

	c.written, c.isStale = c.hash, false

	return c.door()
}

// Start writes the files for a server that is about to start.
func (c *configuration) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()

	if err := c.write(); err != nil {
		return err
	}

	c.written, c.started, c.isStale = c.hash, c.input.Config.RestartNonce, false

	return c.door()
}

// write remembers that something was written also when the rest could not be: the next time it does not differ.
func (c *configuration) write() error {
	files := serverconf.Render(c.input)

	for path, content := range map[string]string{
		c.layout.ConfFile(): files.Conf, c.layout.HBAFile(): files.HBA, c.layout.IdentFile(): files.Ident,
	} {
		wrote, err := volume.WriteFileIfChanged(path, []byte(content), 0o600)
		if err != nil {
			return err
		}

		c.isStale = c.isStale || wrote
	}

	c.floor = maps.Clone(files.Floor)

	return nil
}

// door lets clients of this machine find the socket, or not. Peer authentication cannot tell them from PID 1: both have
// the same user.
func (c *configuration) door() error {
	l := c.layout
	if c.input.Closed || c.input.Private {
		return volume.CloseDoor(l.SocketDir, l.PostgresPort)
	}

	return volume.OpenDoor(l.SocketDir, l.OwnSocketDir(), l.PostgresPort)
}

// segment is the size of the log's segments; 0 if it is not known.
func (c *configuration) segment() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.input.WALSegmentBytes
}

// HasFloor says whether a parameter is held above what is configured, since this standby still needs it.
func (c *configuration) HasFloor() bool {
	c.mu.Lock()
	defer c.mu.Unlock()

	return len(c.floor) > 0
}

// Applied is the hash of the Config in force, and what waits for a restart because one was asked for.
func (c *configuration) Applied() (hash string, pending []instanceapi.PendingParameter) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if wanted := c.input.Config.RestartNonce; wanted != c.started {
		pending = append(pending, instanceapi.PendingParameter{
			Name: "restart requested", Running: c.started, Configured: wanted,
		})
	}

	return c.written, pending
}
