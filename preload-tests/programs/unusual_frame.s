# A function that changes to another stack above its own, and is returned to by no call: correct unwind
# information, which is not followed that far. Calls malloc(48) as often as its first argument says, on
# the stack that ends where its second says.
    .text
    .globl from_elsewhere
    .type from_elsewhere, @function
from_elsewhere:
    .cfi_startproc
    endbr64
    pushq %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset %rbx, -16
    pushq %r12
    .cfi_def_cfa_offset 24
    .cfi_offset %r12, -24
    movq %rdi, %r12
    movq %rsi, %rbx
1:  leaq 2f(%rip), %rax
    pushq %rax
    .cfi_adjust_cfa_offset 8
    jmp on_another
    .cfi_adjust_cfa_offset -8
    nop
2:  decq %r12
    jnz 1b
    popq %r12
    .cfi_def_cfa_offset 16
    popq %rbx
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size from_elsewhere, . - from_elsewhere
    .type on_another, @function
on_another:
    .cfi_startproc
    pushq %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq %rsp, %rbp
    .cfi_def_cfa_register %rbp
    movq %rbx, %rsp
    movl $48, %edi
    call malloc@PLT
    leave
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size on_another, . - on_another
    .section .note.GNU-stack,"",@progbits
