// Package file authenticates clients by users and rules in files, which are read again when they
// change.
//
//	order: deny-wins                  # or as-written, longest-wins; see package auth/acl
//	anonymous: false                  # whether clients without a user name are let in
//	rules:                            # for everybody
//	  - {allow: both, topic: home/%u/#}
//	groups:
//	  staff:
//	    rules:
//	      - {allow: subscribe, topics: [news/#, "$SYS/#"]}
//	      - {deny: publish, topic: news/#, qos: [2], retain: true}
//	users:
//	  ann:
//	    password: $argon2id$v=19$…    # by package auth/password
//	    groups: [staff]
//	    rules: []
//	    attributes: {tenant: t1}      # for rules with %{tenant}
//	    superuser: false              # may do everything
//	    disabled: false               # may not connect
//	anonymous-rules: []               # of clients without a user name
//
// A key that is unknown or there twice, a rule that cannot be understood and a password that is no
// hash are errors, with the line, the column and the field. All of a file's errors are reported
// together. YAML's aliases are refused.
//
// The rules of a user are those of its own, of its groups in the order given, and then those of
// everybody.
//
// # Changes
//
// The directories of the files are watched, so that files may be replaced as editors and
// Kubernetes do. A file that has an error, or is missing, leaves what was read before in force, and
// is logged. After a change, what Authenticator.OnInvalidate was given is called. Clients that are
// connected stay, with the rights they have now.
//
// # Files of others
//
// Config.MosquittoPasswords and Config.MosquittoACL read mosquitto's password_file and acl_file.
// Mosquitto lets everybody subscribe to everything and drops what may not be read when it is
// delivered; here, "read" rules must cover the subscription. As there, "topic" lines before the
// first "user" line are for anonymous clients only, "pattern" lines are for everybody, and deny
// wins.
//
// NewLedger reads the ledger of mochi and comqtt's embedded hook, and comqtt's blacklist.yml.
package file
