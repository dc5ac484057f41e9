# A function whose frame is found from rbx: correct unwind information of a kind that only full
# interpreters follow. Calls malloc(48) as often as its argument says.
    .text
    .globl from_rbx
    .type from_rbx, @function
from_rbx:
    .cfi_startproc
    endbr64
    pushq %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset %rbx, -16
    pushq %r12
    .cfi_def_cfa_offset 24
    .cfi_offset %r12, -24
    movq %rsp, %rbx
    .cfi_def_cfa %rbx, 24
    movq %rdi, %r12
    subq $24, %rsp
    andq $-16, %rsp
1:  movl $48, %edi
    call malloc@PLT
    decq %r12
    jnz 1b
    movq %rbx, %rsp
    .cfi_def_cfa %rsp, 24
    popq %r12
    .cfi_def_cfa_offset 16
    popq %rbx
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size from_rbx, . - from_rbx
    .section .note.GNU-stack,"",@progbits
