package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// cachePatience with the cache: the database answers soon enough.
const cachePatience = 300 * time.Millisecond

// cache speaks as much of Redis' protocol as a shop needs, on a connection for each request.
type cache struct{ address, password string }

// newCache is nil without a host: then there is no cache.
func newCache(host, port, password string) *cache {
	if host == "" {
		return nil
	}

	if port == "" {
		port = "6379"
	}

	return &cache{address: net.JoinHostPort(host, port), password: password}
}

// Get a value; false if the cache does not have it.
func (c *cache) Get(ctx context.Context, key string) (value string, found bool, err error) {
	return c.do(ctx, "GET", key)
}

// Set a value for some seconds.
func (c *cache) Set(ctx context.Context, key, value string, seconds int) error {
	_, _, err := c.do(ctx, "SET", key, value, "EX", strconv.Itoa(seconds))

	return err
}

func (c *cache) do(ctx context.Context, command ...string) (value string, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, cachePatience)
	defer cancel()

	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return "", false, fmt.Errorf("reach the cache: %w", err)
	}

	defer func() { _ = connection.Close() }()

	if deadline, ok := ctx.Deadline(); ok {
		if err := connection.SetDeadline(deadline); err != nil {
			return "", false, fmt.Errorf("reach the cache: %w", err)
		}
	}

	reader := bufio.NewReader(connection)

	if c.password != "" {
		if _, err := io.WriteString(connection, encode("AUTH", c.password)); err != nil {
			return "", false, fmt.Errorf("write to the cache: %w", err)
		}

		if _, _, err := decode(reader); err != nil {
			return "", false, err
		}
	}

	if _, err := io.WriteString(connection, encode(command...)); err != nil {
		return "", false, fmt.Errorf("write to the cache: %w", err)
	}

	return decode(reader)
}

// encode a command as an array of strings.
func encode(words ...string) string {
	var out strings.Builder

	fmt.Fprintf(&out, "*%d\r\n", len(words))

	for _, word := range words {
		fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(word), word)
	}

	return out.String()
}

var errReply = errors.New("the cache refused")

// maxReply is the longest value that is taken.
const maxReply = 1 << 20

// decode a simple or a bulk string; found is false for none.
func decode(reader *bufio.Reader) (value string, found bool, err error) {
	line, err := reader.ReadString('\n')
	if err != nil {
		return "", false, fmt.Errorf("read from the cache: %w", err)
	}

	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", false, fmt.Errorf("%w: an empty reply", errReply)
	}

	switch kind, rest := line[0], line[1:]; kind {
	case '+', ':':
		return rest, true, nil
	case '$':
		length, err := strconv.Atoi(rest)
		if err != nil || length > maxReply {
			return "", false, fmt.Errorf("%w: a length of %q", errReply, rest)
		}

		if length < 0 {
			return "", false, nil
		}

		data := make([]byte, length+2)
		if _, err := io.ReadFull(reader, data); err != nil {
			return "", false, fmt.Errorf("read from the cache: %w", err)
		}

		return string(data[:length]), true, nil
	default:
		return "", false, fmt.Errorf("%w: %s", errReply, line)
	}
}
