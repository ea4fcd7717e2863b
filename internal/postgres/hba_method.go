package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// hbaRule is what the checks of method and options need of a pg_hba rule.
type hbaRule struct {
	kind   string
	method string
	major  int
}

// shape names the columns of a rule of this type.
func (r hbaRule) shape() string {
	if r.kind == "local" {
		return "type, database, user and method"
	}
	return "type, database, user, address and method"
}

func hbaMethods() []string {
	return []string{
		"scram-sha-256", "md5", "password", "cert", "reject", "trust",
		"peer", "ident", "ldap", "pam", "gss", "oauth", "radius",
	}
}

func (r hbaRule) checkMethod() error {
	switch {
	case r.method == "sspi" || r.method == "bsd":
		return fmt.Errorf("the method %s does not exist on Linux: use another, like scram-sha-256", r.method)
	case !slices.Contains(hbaMethods(), r.method):
		return fmt.Errorf("%q is not a method: use %s", r.method, strings.Join(hbaMethods(), ", "))
	case r.method == "oauth" && r.major != 0 && r.major < 18:
		return fmt.Errorf("the method oauth exists only from PostgreSQL 18 on, this is %d: use another", r.major)
	case r.method == "radius" && r.major >= 19:
		return errors.New("the method radius was removed in PostgreSQL 19: use another, like ldap")
	case r.method == "cert" && r.kind != "hostssl":
		return errors.New("the method cert needs TLS: use hostssl")
	case r.method == "peer" && r.kind != "local":
		return errors.New("the method peer works over the socket only: use local, or another method")
	case r.method == "gss" && r.kind == "local":
		return errors.New("the method gss works over the network only: use host")
	default:
		return nil
	}
}

// checkOptions checks name=value words after the method.
func (r hbaRule) checkOptions(fields []hbaField) error {
	given := map[string]string{}
	for _, field := range fields {
		for _, token := range field {
			name, value, ok := strings.Cut(token.text, "=")
			if !ok {
				return fmt.Errorf("%q is not an option: want name=value after the method", token.text)
			}
			if err := r.checkOption(name, value); err != nil {
				return err
			}
			given[name] = value
		}
	}
	for _, anyOf := range requiredOptions(r.method) {
		if !slices.ContainsFunc(anyOf, func(name string) bool { return given[name] != "" }) {
			return fmt.Errorf("the method %s needs the option %s: add it", r.method, strings.Join(anyOf, " or "))
		}
	}
	return nil
}

func (r hbaRule) checkOption(name, value string) error {
	methods, known := optionMethods(name)
	switch {
	case name == "clientcert":
		return r.checkClientCert(value)
	case name == "clientname" && r.kind != "hostssl":
		return errors.New("clientname needs TLS: use hostssl")
	case name == "clientname" && value != "CN" && value != "DN":
		return fmt.Errorf("clientname=%s: use CN or DN", value)
	case name == "clientname":
		return nil
	case r.method == "oauth" && strings.HasPrefix(name, "validator."):
		return nil
	case !known:
		return fmt.Errorf("%q is not an option of pg_hba: check its spelling, or remove it", name)
	case !slices.Contains(methods, r.method):
		return fmt.Errorf("the option %s is for %s only, not for %s: remove it", name, strings.Join(methods, ", "), r.method)
	default:
		return nil
	}
}

func (r hbaRule) checkClientCert(value string) error {
	switch {
	case r.kind != "hostssl":
		return errors.New("clientcert needs TLS: use hostssl")
	case value == "verify-full", value == "verify-ca" && r.method != "cert":
		return nil
	case r.method == "cert":
		return fmt.Errorf("clientcert=%s: the method cert takes verify-full only", value)
	default:
		return fmt.Errorf("clientcert=%s: use verify-ca or verify-full", value)
	}
}

// optionMethods says which methods take an option.
func optionMethods(name string) (methods []string, known bool) {
	switch name {
	case "map":
		return []string{"ident", "peer", "gss", "cert", "oauth"}, true
	case "pamservice", "pam_use_hostname":
		return []string{"pam"}, true
	case "ldapurl", "ldaptls", "ldapscheme", "ldapserver", "ldapport", "ldapbinddn", "ldapbindpasswd",
		"ldapsearchattribute", "ldapsearchfilter", "ldapbasedn", "ldapprefix", "ldapsuffix":
		return []string{"ldap"}, true
	case "krb_realm", "include_realm":
		return []string{"gss"}, true
	case "radiusservers", "radiusports", "radiussecrets", "radiusidentifiers":
		return []string{"radius"}, true
	case "issuer", "scope", "validator", "delegate_ident_mapping":
		return []string{"oauth"}, true
	default:
		return nil, false
	}
}

// requiredOptions lists, for a method, sets of options of which one each must be there.
func requiredOptions(method string) [][]string {
	switch method {
	case "ldap":
		return [][]string{
			{"ldapserver", "ldapurl", "ldapbasedn"},
			{"ldapurl", "ldapbasedn", "ldapprefix", "ldapsuffix"},
		}
	case "radius":
		return [][]string{{"radiusservers"}, {"radiussecrets"}}
	case "oauth":
		return [][]string{{"issuer"}, {"scope"}}
	default:
		return nil
	}
}
