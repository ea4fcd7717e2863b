// Command probe is what the end-to-end test runs in pods.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

func main() {
	if err := run(append(os.Args, "serve", "")[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch args[0] {
	case "serve":
		return serve()
	case "get":
		return get(args[1])
	case "write":
		return os.WriteFile(args[1], []byte(args[2]), 0o600)
	case "read":
		content, err := os.ReadFile(args[1])
		_, _ = os.Stdout.Write(content)
		return err
	case "fill":
		return fill(args[1])
	case "size":
		var info syscall.Statfs_t
		err := syscall.Statfs(args[1], &info)
		_, _ = fmt.Fprintln(os.Stdout, info.Blocks*uint64(max(info.Bsize, 0)))
		return err
	}
	return fmt.Errorf("no such command: %s", args[0])
}

// serve answers with its host's name and the address that the client has.
func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr: ":8080", ReadHeaderTimeout: time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			client, _, _ := net.SplitHostPort(r.RemoteAddr)
			_, _ = fmt.Fprintf(w, "%s %s", name, client)
		}),
	}
	return server.ListenAndServe()
}

func get(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// fill writes until the disk is full, and tells how many bytes that took.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	written, block := 0, make([]byte, 1<<20)
	for {
		n, err := file.Write(block)
		written += n
		if errors.Is(err, syscall.ENOSPC) {
			_, _ = fmt.Fprintln(os.Stdout, written)
			return file.Close()
		}
		if err != nil {
			return err
		}
	}
}
