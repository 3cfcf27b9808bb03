//go:build gc

#include "textflag.h"

// func returnPCs(pcs *ReturnPCs) (n int, whole bool)
//
// A frame pointer leads to two words of the stack: the frame pointer of the
// caller, and the address that the function returns to. The one of the function
// that a goroutine began with is 0.
TEXT ·returnPCs(SB), NOSPLIT|NOFRAME, $0-17
	MOVQ pcs+0(FP), DI
	MOVQ (TLS), AX  // the goroutine, which begins with the bounds of its stack
	MOVQ 8(AX), SI
	SUBQ $16, SI    // the last address of two words
	MOVQ SP, DX     // frame pointers lie above this, each above the one before
	MOVQ BP, BX
	XORQ CX, CX
	MOVB $1, whole+16(FP)
loop:
	CMPQ CX, $32
	JEQ  done
	TESTQ BX, BX
	JEQ  done
	CMPQ BX, DX
	JLS  broken
	CMPQ BX, SI
	JHI  broken
	TESTQ $7, BX
	JNE  broken
	MOVQ 8(BX), AX
	MOVQ AX, (DI)(CX*8)
	INCQ CX
	MOVQ BX, DX
	MOVQ (BX), BX
	JMP  loop
broken:
	MOVB $0, whole+16(FP)
done:
	MOVQ CX, n+8(FP)
	RET
