package webhook

// For tests from outside.
var (
	Sign       = sign
	VerifyAt   = verify
	RetryAfter = retryAfter
)
