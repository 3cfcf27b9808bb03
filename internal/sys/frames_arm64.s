//go:build gc

#include "textflag.h"

// func returnPCs(pcs *ReturnPCs) (n int, whole bool)
//
// As on amd64, except that the frame pointer lies just below the stack pointer
// of its function.
TEXT ·returnPCs(SB), NOSPLIT|NOFRAME, $0-17
	MOVD pcs+0(FP), R0
	MOVD 8(g), R1     // the goroutine begins with the bounds of its stack
	SUB  $16, R1, R1  // the last address of two words
	MOVD RSP, R2
	SUB  $16, R2, R2  // frame pointers lie above this, each above the one before
	MOVD R29, R3
	MOVD $0, R4
	MOVD $1, R5
loop:
	CMP  $32, R4
	BEQ  done
	CBZ  R3, done
	CMP  R2, R3
	BLS  broken
	CMP  R1, R3
	BHI  broken
	AND  $7, R3, R6
	CBNZ R6, broken
	MOVD 8(R3), R6
	MOVD R6, (R0)(R4<<3)
	ADD  $1, R4, R4
	MOVD R3, R2
	MOVD (R3), R3
	B    loop
broken:
	MOVD $0, R5
done:
	MOVD R4, n+8(FP)
	MOVB R5, whole+16(FP)
	RET
