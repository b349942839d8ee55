package file

import (
	"context"

	"go.yaml.in/yaml/v3"

	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/password"
	"github.com/shoalmq/shoal/auth/source"
)

// contents is what files say. It is not changed once it is made.
type contents struct {
	users     map[string]*user
	anonymous bool
	unknown   *acl.List // for everybody, of whom there is nothing else
	nameless  *acl.List // for anonymous clients
	unruled   bool      // no rules were given: everything is allowed
}

type user struct {
	user  source.User
	rules *acl.List
}

// User implements source.Source.
func (c *contents) User(_ context.Context, q *source.Query) (*source.User, error) {
	if q.Name == "" {
		if !c.anonymous {
			return nil, source.ErrUnknownUser
		}
		return &source.User{Verified: true, Superuser: c.unruled}, nil
	}
	u := c.users[q.Name]
	if u == nil {
		return nil, source.ErrUnknownUser
	}
	known := u.user
	known.Superuser = known.Superuser || c.unruled
	return &known, nil
}

// Rules implements source.Source.
func (c *contents) Rules(_ context.Context, s *source.Subject) (*acl.List, error) {
	if s.Name == "" {
		return c.nameless, nil
	}
	if u := c.users[s.Name]; u != nil {
		return u.rules, nil
	}
	return c.unknown, nil
}

// draft is a users file as it is read.
type draft struct {
	document
	order          acl.Order
	anonymous      bool
	rules          []acl.Rule
	anonymousRules []acl.Rule
	groups         map[string][]acl.Rule
	users          map[string]*userDraft
}

type userDraft struct {
	at     *yaml.Node
	user   source.User
	groups []string
	rules  []acl.Rule
}

// parseUsers reads a users file.
func parseUsers(path string, data []byte) (*contents, error) {
	d := &draft{
		document: document{path: path}, groups: make(map[string][]acl.Rule),
		users: make(map[string]*userDraft),
	}
	if root := d.parse(data); root != nil {
		d.mapping(root, "", field{
			"order":           d.readOrder,
			"anonymous":       d.boolean(&d.anonymous),
			"rules":           d.readRules(&d.rules),
			"anonymous-rules": d.readRules(&d.anonymousRules),
			"groups":          d.readGroups,
			"users":           d.readUsers,
		})
	}
	c := d.contents()
	return c, d.err()
}

func (d *draft) readOrder(n *yaml.Node, path string) {
	order, err := acl.ParseOrder(n.Value)
	if err != nil {
		d.wrong(n, path, "%v", err)
	}
	d.order = order
}

func (d *document) readRules(to *[]acl.Rule) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		d.sequence(n, path, func(n *yaml.Node, path string) {
			var s acl.Spec
			before := len(d.problems) + d.more
			d.mapping(n, path, field{
				"allow": d.text(&s.Allow), "deny": d.text(&s.Deny), "topic": d.text(&s.Topic),
				"topics": d.texts(&s.Topics),
				"qos": func(n *yaml.Node, path string) {
					d.sequence(n, path, func(n *yaml.Node, path string) {
						if q, ok := d.integer(n, path); ok {
							s.QoS = append(s.QoS, q)
						}
					})
				},
				"retain": func(n *yaml.Node, path string) {
					s.Retain = new(bool)
					d.boolean(s.Retain)(n, path)
				},
			})
			if len(d.problems)+d.more > before {
				return
			}
			rules, err := s.Rules()
			if err != nil {
				d.wrong(n, path, "%v", err)
			}
			*to = append(*to, rules...)
		})
	}
}

func (d *draft) readGroups(n *yaml.Node, path string) {
	d.each(n, path, func(key string, _, v *yaml.Node, path string) {
		var rules []acl.Rule
		d.mapping(v, path, field{"rules": d.readRules(&rules)})
		d.groups[key] = rules
	})
}

func (d *draft) readUsers(n *yaml.Node, path string) {
	d.each(n, path, func(key string, k, v *yaml.Node, path string) {
		u := &userDraft{at: k}
		d.mapping(v, path, field{
			"password": func(n *yaml.Node, path string) {
				d.text(&u.user.Hash)(n, path)
				if _, err := password.Parse(u.user.Hash); err != nil {
					d.wrong(n, path, "%v", err)
				}
			},
			"disabled": d.boolean(&u.user.Disabled), "superuser": d.boolean(&u.user.Superuser),
			"groups": d.texts(&u.groups), "rules": d.readRules(&u.rules),
			"attributes": func(n *yaml.Node, path string) {
				u.user.Attributes = make(map[string]string)
				d.each(n, path, func(key string, _, v *yaml.Node, path string) {
					var value string
					d.text(&value)(v, path)
					u.user.Attributes[key] = value
				})
			},
		})
		if key == "" {
			d.wrong(k, path, "a user must have a name; for clients without one, set anonymous")
		}
		d.users[key] = u
	})
}

// contents puts the rules of users together.
func (d *draft) contents() *contents {
	c := &contents{users: make(map[string]*user, len(d.users)), anonymous: d.anonymous}
	compile := func(rules []acl.Rule) *acl.List {
		l, err := acl.Compile(d.order, rules)
		if err != nil {
			d.problems = append(d.problems, err)
		}
		return l
	}
	c.unknown = compile(d.rules)
	c.nameless = compile(append(d.anonymousRules, d.rules...))
	for name, u := range d.users {
		known := &user{user: u.user, rules: c.unknown}
		if u.user.Hash == "" {
			d.wrong(u.at, "users."+name+".password", "is missing; every user has one")
		}
		rules := u.rules
		for _, g := range u.groups {
			of, ok := d.groups[g]
			if !ok {
				d.wrong(u.at, "users."+name+".groups", "there is no group %q", g)
			}
			rules = append(rules, of...)
		}
		if len(rules) > 0 {
			known.rules = compile(append(rules, d.rules...))
		}
		c.users[name] = known
	}
	return c
}
