/* The processor begins at address 0, where the ROM is: a stack, no variables but those on it. */
    .section .text.start, "ax"
    .globl _start
_start:
    la sp, _stack
    call main
1:  j 1b
