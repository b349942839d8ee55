// Package http authenticates clients by asking an HTTP service.
//
//	a, err := http.New(http.Config{
//		AuthURL: "https://users.example.com/mqtt/auth",
//		ACLURL:  "https://users.example.com/mqtt/acl",
//	})
//	b, err := shoal.New(shoal.WithAuthenticator(a), …)
//
// # Requests
//
// A request has fields: by default a login has user_name, client_id and password, a question for rules
// has name. They are sent as a JSON object, as a form, or, with GET, as an escaped query; passwords in
// queries end up in logs of servers and proxies, so prefer POST. Config.AuthFields, ACLFields and
// Headers have templates of one's own, in which these stand for values:
//
//	${name} ${user_name} ${client_id}              of the client; name is what Source.Login, or
//	                                               Source.ACL, looks up
//	${password} ${remote_ip} ${listener}           in logins
//	${common_name}                                 of its certificate, in logins
//	${topic} ${action} ${qos} ${retain}            where each topic is asked for
//
// Connections are reused. Redirects are not followed. A question ends after Source.Timeout.
//
// # Answers
//
// 401, 403 and 404 refuse; 204 allows. 200 has a JSON object:
//
//	{"result": "allow", "name": "ann", "superuser": false, "attributes": {"tenant": "t1"},
//	 "rules": [{"allow": "both", "topic": "a/%u/#"}], "expires": 1767225600}
//
// result is allow, deny or, for a topic, ignore, which leaves it to Source.AllowUnmatched; the rest is
// optional and of logins. If there are rules, none are asked for later. Anything else, and every other
// status, is no answer: the service counts as down.
//
// By default all rules of a client are asked for at once, and the answer is a list of them as in
// package auth/acl (acl.ParseJSON). With PerTopic each topic is asked for; answers are cached, by client,
// topic, action, QoS and RETAIN.
//
// With Comqtt, requests and answers are those of comqtt: fields user and password, or user alone; a login
// is allowed by the body 1 and nothing else; rules are an object of filters and access numbers.
package http
