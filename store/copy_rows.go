package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
)

// copyPart is something that is copied beside the events. What is there already
// from an earlier try stays.
type copyPart interface {
	copy(ctx context.Context, source, dest copyable) error
	// compare adds it to what two databases have in common.
	compare(ctx context.Context, source, dest copyable, sum *Summary, everything hash.Hash) error
}

// copyParts are all of them, in the order in which they are copied and compared.
func copyParts() []copyPart {
	return []copyPart{copiedGrants{}, copiedAnswers(), copiedCalls(), copiedKeys(), copiedMarks(), copiedOversight{}}
}

// copiedRows is a part that is made of rows of one kind.
type copiedRows[T any] struct {
	name string // in errors
	// some returns rows in their order, those after last or, if that is nil, from the
	// beginning; none at the end. add stores those that are not there yet.
	some func(ctx context.Context, db copyable, last *T) ([]T, error)
	add  func(ctx context.Context, db copyable, all []T) error
	// write writes what is the same in every database.
	write func(f *fields, row *T) error
	moves func(row *T) int // of a row; nil if it has none
	told  func(sum *Summary, n copyCount)
}

// copyCount is how many there are of something, and of what belongs to it.
type copyCount [2]int64

func (c copiedRows[T]) each(ctx context.Context, db copyable, do func([]T) error) error {
	for last := (*T)(nil); ; {
		all, err := c.some(ctx, db, last)
		if err != nil || len(all) == 0 {
			return err
		}
		if err := do(all); err != nil {
			return err
		}
		last = &all[len(all)-1]
	}
}

func (c copiedRows[T]) copy(ctx context.Context, source, dest copyable) error {
	var destErr error
	err := c.each(ctx, source, func(all []T) error {
		destErr = c.add(ctx, dest, all)
		return destErr
	})
	return ofSide(source, dest, err, destErr)
}

// ofSide says which of two databases an error is about; err is destErr where that
// is the reason of it.
func ofSide(source, dest copyable, err, destErr error) error {
	switch {
	case destErr != nil:
		return fmt.Errorf("the destination %s: %w", dest.Where(), destErr)
	case err != nil:
		return fmt.Errorf("the source %s: %w", source.Where(), err)
	}
	return nil
}

// digest writes all of it into of.
func (c copiedRows[T]) digest(ctx context.Context, db copyable, of hash.Hash) (n copyCount, err error) {
	f := &fields{Hash: of}
	err = c.each(ctx, db, func(all []T) error {
		for i := range all {
			n[0]++
			if c.moves != nil {
				n[1] += int64(c.moves(&all[i]))
			}
			if err := c.write(f, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func (c copiedRows[T]) compare(ctx context.Context, source, dest copyable, sum *Summary, everything hash.Hash) error {
	want, got, same, err := digestBoth(source, dest, everything, func(db copyable, of hash.Hash) (copyCount, error) { return c.digest(ctx, db, of) })
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("%w: there are %d %s, not %d, or others: empty the destination and begin anew", ErrCopy, got[0], c.name, want[0])
	}
	c.told(sum, want)
	return nil
}

// digestBoth has two databases digested, and adds what they have in common to
// everything if they are the same.
func digestBoth(source, dest copyable, everything hash.Hash, digest func(copyable, hash.Hash) (copyCount, error)) (want, got copyCount, same bool, err error) {
	a, b := sha256.New(), sha256.New()
	if want, err = digest(source, a); err != nil {
		return want, got, false, ofSide(source, dest, err, nil)
	}
	if got, err = digest(dest, b); err != nil {
		return want, got, false, ofSide(source, dest, nil, err)
	}
	if want != got || !bytes.Equal(a.Sum(nil), b.Sum(nil)) {
		return want, got, false, nil
	}
	everything.Write(a.Sum(nil))
	return want, got, true, nil
}
