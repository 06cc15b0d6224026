package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/postern-proxy/postern/outbox"
)

// Outbox returns s as the store of an outbox.
func (s *SQLite) Outbox() outbox.Store { return outboxStore{sqliteBase{s}} }

type sqliteBase struct{ *SQLite }

func (b sqliteBase) transaction(ctx context.Context, size int, do func(sqlStatements) error) error {
	return b.do(ctx, size, func(t *tx) error { return do(sqliteTx{t}) })
}

func (b sqliteBase) reader(ctx context.Context) sqlStatements { return sqliteReader{ctx, b.read} }
func (b sqliteBase) clock(sqlStatements) (int64, error)       { return time.Now().UnixMicro(), nil }
func (b sqliteBase) skipping() string                         { return "" }
func (b sqliteBase) who() string                              { return b.replica }
func (b sqliteBase) announce()                                {} // nobody else can use the file

type sqliteTx struct{ *tx }

func (t sqliteTx) rows(scan func(func(...any) error) error, query string, args ...any) error {
	return t.each(func(r *sql.Rows) error { return scan(r.Scan) }, query, args...)
}

type sqliteReader struct {
	ctx context.Context
	db  *sql.DB
}

func (r sqliteReader) change(query string, args ...any) (int64, error) {
	res, err := r.db.ExecContext(r.ctx, query, args...) // which the connection refuses
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (r sqliteReader) rows(scan func(func(...any) error) error, query string, args ...any) error {
	rows, err := r.db.QueryContext(r.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
