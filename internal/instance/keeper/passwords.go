package keeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/instance/scram"
)

// Password is what a role's password should be.
type Password struct {
	Role string
	// Password; if empty the role has none.
	Password string
}

// EnsurePasswords sets the passwords that differ. Roles that do not exist are left alone: the application's owner may
// have been dropped on purpose. It returns the roles that were changed.
func EnsurePasswords(ctx context.Context, conn *pgx.Conn, wanted []Password) ([]string, error) {
	var changed []string

	for _, want := range wanted {
		var stored *string

		err := conn.QueryRow(ctx, "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1", want.Role).Scan(&stored)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}

		if err != nil {
			return changed, fmt.Errorf("read the password of role %s: %w", want.Role, err)
		}

		statement, err := passwordStatement(want, stored)
		if err != nil {
			return changed, err
		}

		if statement == "" {
			continue
		}

		if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return changed, fmt.Errorf("set the password of role %s: %w", want.Role, err)
		}

		changed = append(changed, want.Role)
	}

	return changed, nil
}

// passwordStatement is what makes the stored password the wanted one; empty if it is already. The password itself is
// never in it.
func passwordStatement(want Password, stored *string) (string, error) {
	alter := "ALTER ROLE " + pgx.Identifier{want.Role}.Sanitize() + " PASSWORD "

	switch {
	case want.Password == "" && stored == nil:
		return "", nil
	case want.Password == "":
		return alter + "NULL", nil
	case stored != nil && scram.Matches(*stored, want.Password):
		return "", nil
	}

	verifier, err := scram.Verifier(want.Password)
	if err != nil {
		return "", fmt.Errorf("password of role %s: %w", want.Role, err)
	}

	return alter + "'" + verifier + "'", nil
}
