package block

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// What a file may hold at most. The parser recurses: without these limits
// 160 KB of parentheses end the process, and that cannot be recovered.
const (
	maxFile      = 1 << 20
	maxNesting   = 64
	maxBlocks    = 10_000
	maxOperators = 20_000
	maxChoices   = 1_000
)

// Scan refuses a text that the parser must not see: too long, nested too
// deeply, or of too many parts. It does not recurse.
func Scan(text []byte, file string) hcl.Diagnostics {
	start := hcl.Range{Filename: file, Start: hcl.InitialPos, End: hcl.InitialPos}
	if len(text) > maxFile {
		return hcl.Diagnostics{problem("File too large", fmt.Sprintf("A configuration file may have %d bytes; this one has %d.", maxFile, len(text)), start)}
	}
	tokens, _ := hclsyntax.LexConfig(text, file, hcl.InitialPos) // what cannot be lexed, the parser reports
	var nesting, unary, blocks, operators, choices int
	for _, t := range tokens {
		run := false
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			nesting++
			if t.Type == hclsyntax.TokenOBrace {
				blocks++
			}
			if t.Type == hclsyntax.TokenTemplateControl {
				choices++
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			nesting--
		case hclsyntax.TokenMinus, hclsyntax.TokenBang:
			run = true
			operators++
		case hclsyntax.TokenQuestion:
			choices++
		case hclsyntax.TokenPlus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent, hclsyntax.TokenAnd, hclsyntax.TokenOr,
			hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenGreaterThan, hclsyntax.TokenLessThan,
			hclsyntax.TokenGreaterThanEq, hclsyntax.TokenLessThanEq, hclsyntax.TokenDot:
			operators++
		}
		if unary++; !run {
			unary = 0
		}
		switch {
		case nesting > maxNesting || unary > maxNesting:
			return hcl.Diagnostics{problem("Nested too deeply", fmt.Sprintf("Brackets and operators may be nested %d deep.", maxNesting), t.Range)}
		case blocks > maxBlocks, operators > maxOperators, choices > maxChoices:
			return hcl.Diagnostics{problem("Too many parts", fmt.Sprintf("A file may have %d blocks and objects, %d operators and %d conditions.", maxBlocks, maxOperators, maxChoices), t.Range)}
		}
	}
	return nil
}
