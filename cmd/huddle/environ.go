package main

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// prefix is what all variables of Huddle begin with.
const prefix = "HUDDLE_"

// environ is the environment of a process. A variable that is set and empty is
// set.
type environ map[string]string

func parseEnviron(pairs []string) environ {
	env := environ{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// variable returns the variable that is the same setting as a flag.
func variable(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// resolver gives flags that are settings, marked with a tag of that name, the
// value of their variable where the command line has none.
func (e environ) resolver() kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		name := variable(flag.Name)
		value, found := e[name]
		if !found || !flag.Tag.Has("setting") || isServiceDiscovery(name, value) {
			return nil, nil
		}
		// Kong parses the value again, and its error would name the flag.
		scan := kong.ScanFromTokens(kong.Token{Value: value, Type: kong.FlagValueToken})
		target := reflect.New(flag.Target.Type()).Elem()
		if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, target); err != nil {
			return nil, usagef("%s: %w", name, err)
		}
		return value, nil
	})
}

// Forms of the variables that Kubernetes sets in every pod for every Service,
// here for those whose names begin with "huddle".
var (
	servicePattern = regexp.MustCompile(`^HUDDLE(_[A-Z0-9_]+)?_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$`)
	portPattern    = regexp.MustCompile(`^HUDDLE(_[A-Z0-9_]+)?_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)
	urlPattern     = regexp.MustCompile(`^HUDDLE(_[A-Z0-9_]+)?_PORT=(tcp|udp|sctp)://`)
)

// isServiceDiscovery reports whether Kubernetes set a variable. A Service
// named huddle-gossip makes HUDDLE_GOSSIP_PORT, which only its value tells
// from the setting.
func isServiceDiscovery(name, value string) bool {
	return servicePattern.MatchString(name) || portPattern.MatchString(name) || urlPattern.MatchString(name+"="+value)
}

// refuseUnknown names the first variable of Huddle that is no setting: what is
// spelled wrong would otherwise do nothing, silently.
func (e environ) refuseUnknown(flags []*kong.Flag) error {
	// Secrets are no flags; the last two are for other programs than serve.
	known := []string{"HUDDLE_KEY", "HUDDLE_PASSWORD", "HUDDLE_ADDR", "HUDDLE_E2E"}
	for _, flag := range flags {
		if flag.Tag.Has("setting") {
			known = append(known, variable(flag.Name))
		}
	}
	var unknown []string
	for name, value := range e {
		if strings.HasPrefix(name, prefix) && !slices.Contains(known, name) && !isServiceDiscovery(name, value) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return usagef("%s is no setting of this release; unset it, or look for its right name in huddle serve --help", slices.Min(unknown))
}

// secret returns what a variable holds, or the file that another setting
// names. A secret is never a flag, which every process of the machine can see.
func (e environ) secret(name, file string) (string, error) {
	value, found := e[name]
	if file == "" {
		return value, nil
	}
	if found && value != "" {
		return "", usagef("%s and %s_FILE are both set; unset one of them", name, name)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	value = strings.TrimRight(string(content), "\r\n")
	if value == "" {
		return "", fmt.Errorf("%s_FILE: %s is empty; put the secret in it", name, file)
	}
	return value, nil
}
