package store

import "context"

// AnswersIn counts the calls with an idempotency key that a database knows.
func AnswersIn(ctx context.Context, db Database) (int64, error) {
	g, err := db.(copyable).grants(ctx)
	return g.answers, err
}
