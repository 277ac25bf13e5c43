package api

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// answerPanic answers for a handler that panicked, and logs where. An answer that has begun cannot be taken back: its
// connection is cut, so that nobody takes it for a whole one.
func answerPanic(w http.ResponseWriter, _ *http.Request, v any) {
	x := w.(*exchange)
	if v == http.ErrAbortHandler {
		panic(v)
	}
	x.s.log.Error("a request handler panicked", "requestId", x.id, "route", x.route.label,
		"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if x.status != 0 {
		panic(http.ErrAbortHandler)
	}
	x.refuse(internalError.problem("the request failed inside the node; its log tells more"))
}
