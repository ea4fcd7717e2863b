package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called.
	}
}

func command(ctx context.Context, args []string) error {
	commands := map[string]func(context.Context, []string) error{
		"run": runCases, "soak": soak, "bench": bench, "break": breakSomething, "list": list, "check": checkHistory,
	}

	if len(args) == 0 || commands[args[0]] == nil {
		return errors.New("usage: chaos run|soak|bench|break|list|check [flags]; -h after any of them tells its flags")
	}

	return commands[args[0]](ctx, args[1:])
}
