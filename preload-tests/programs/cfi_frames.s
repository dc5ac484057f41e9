  .text
  .macro FN n
  .globl \n
  .type \n,@function
\n:
  .cfi_startproc
  .endm
  .macro EN n
  .cfi_endproc
  .size \n,.-\n
  .endm
# Functions that call what they are given, each with unwind information of another kind.
# void f(void (*callback)(void))
FN c_rsp
  sub $8,%rsp
  .cfi_adjust_cfa_offset 8
  call *%rdi
  add $8,%rsp
  .cfi_adjust_cfa_offset -8
  ret
EN c_rsp
FN c_rbp
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset 6,-16
  mov %rsp,%rbp
  .cfi_def_cfa_register 6
  and $-64,%rsp
  sub $128,%rsp
  call *%rdi
  leave
  .cfi_def_cfa 7,8
  ret
EN c_rbp
FN c_rbx
  push %rbx
  .cfi_def_cfa_offset 16
  .cfi_offset 3,-16
  mov %rsp,%rbx
  .cfi_def_cfa_register 3
  and $-64,%rsp
  sub $128,%rsp
  call *%rdi
  mov %rbx,%rsp
  .cfi_def_cfa_register 7
  pop %rbx
  .cfi_def_cfa_offset 8
  ret
EN c_rbx
FN c_r13
  push %r13
  .cfi_def_cfa_offset 16
  .cfi_offset 13,-16
  mov %rsp,%r13
  .cfi_def_cfa_register 13
  and $-64,%rsp
  sub $128,%rsp
  call *%rdi
  mov %r13,%rsp
  .cfi_def_cfa_register 7
  pop %r13
  .cfi_def_cfa_offset 8
  ret
EN c_r13
FN c_expr
  mov %rsp,%rax
  .cfi_def_cfa_register 0
  sub $64,%rsp
  and $-64,%rsp
  mov %rax,40(%rsp)
  .cfi_escape 0x0f,6,0x77,40,0x06,0x23,8,0x96
  call *%rdi
  mov 40(%rsp),%rsp
  .cfi_def_cfa 7,8
  ret
EN c_expr
FN c_stackswitch
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset 6,-16
  mov %rsp,%rbp
  .cfi_def_cfa_register 6
  lea altstack_top(%rip),%rax
  mov %rax,%rsp
  call *%rdi
  mov %rbp,%rsp
  pop %rbp
  .cfi_def_cfa 7,8
  ret
EN c_stackswitch
FN c_stackswitch_rbx
  push %rbx
  .cfi_def_cfa_offset 16
  .cfi_offset 3,-16
  mov %rsp,%rbx
  .cfi_def_cfa_register 3
  lea altstack_top(%rip),%rax
  mov %rax,%rsp
  call *%rdi
  mov %rbx,%rsp
  .cfi_def_cfa_register 7
  pop %rbx
  .cfi_def_cfa 7,8
  ret
EN c_stackswitch_rbx
FN c_stackswitch_expr
  # as a runtime that keeps the other stack pointer at the base of the new stack
  lea altstack_top(%rip),%rax
  mov %rsp,-16(%rax)
  lea -32(%rax),%rsp
  .cfi_escape 0x0f,5,0x77,16,0x06,0x23,8
  call *%rdi
  mov 16(%rsp),%rsp
  .cfi_def_cfa 7,8
  ret
EN c_stackswitch_expr
FN c_ripelse
  # return address moved elsewhere, its slot overwritten
  mov (%rsp),%rax
  sub $24,%rsp
  .cfi_adjust_cfa_offset 24
  mov %rax,8(%rsp)
  .cfi_offset 16,-24
  movq $0,24(%rsp)
  call *%rdi
  mov 8(%rsp),%rax
  mov %rax,24(%rsp)
  add $24,%rsp
  .cfi_def_cfa_offset 8
  .cfi_restore 16
  ret
EN c_ripelse
FN c_noframe_ends
  # the call is the last instruction of the FDE; the next function has other rules
  push %rax
  .cfi_adjust_cfa_offset 8
  call *%rdi
EN c_noframe_ends
FN c_next
  .cfi_def_cfa 7,8
  pop %rax
  ret
EN c_next
FN c_pushargs
  push %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_offset 3,-16
  push $1
  .cfi_adjust_cfa_offset 8
  push $2
  .cfi_adjust_cfa_offset 8
  call *%rdi
  add $16,%rsp
  .cfi_adjust_cfa_offset -16
  pop %rbx
  .cfi_adjust_cfa_offset -8
  .cfi_restore 3
  ret
EN c_pushargs
FN c_remember
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset 6,-16
  mov %rsp,%rbp
  .cfi_def_cfa_register 6
  sub $48,%rsp
  test %rdi,%rdi
  jnz 1f
  .cfi_remember_state
  leave
  .cfi_def_cfa 7,8
  ret
1: .cfi_restore_state
  call *%rdi
  leave
  .cfi_def_cfa 7,8
  ret
EN c_remember
FN c_big
  sub $100008,%rsp
  .cfi_adjust_cfa_offset 100008
  call *%rdi
  add $100008,%rsp
  .cfi_adjust_cfa_offset -100008
  ret
EN c_big
FN c_huge
  sub $3000008,%rsp
  .cfi_adjust_cfa_offset 3000008
  call *%rdi
  add $3000008,%rsp
  .cfi_adjust_cfa_offset -3000008
  ret
EN c_huge
FN c_rbpsaved
  # rbp clobbered by a value, saved at an unusual slot; caller uses rbp frame
  sub $72,%rsp
  .cfi_adjust_cfa_offset 72
  mov %rbp,24(%rsp)
  .cfi_offset 6,-56
  mov $0x1234567,%rbp
  call *%rdi
  mov 24(%rsp),%rbp
  .cfi_restore 6
  add $72,%rsp
  .cfi_adjust_cfa_offset -72
  ret
EN c_rbpsaved
FN c_rbpreg
  # rbp kept in another callee-saved register
  push %r12
  .cfi_adjust_cfa_offset 8
  .cfi_offset 12,-16
  mov %rbp,%r12
  .cfi_register 6,12
  mov $0x1234567,%rbp
  call *%rdi
  mov %r12,%rbp
  .cfi_same_value 6
  pop %r12
  .cfi_adjust_cfa_offset -8
  ret
EN c_rbpreg
FN c_upwards
  # to a stack at higher addresses, and back
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset 6,-16
  mov %rsp,%rbp
  .cfi_def_cfa_register 6
  mov higher_stack(%rip),%rsp
  call *%rdi
  mov %rbp,%rsp
  pop %rbp
  .cfi_def_cfa 7,8
  ret
EN c_upwards
  .bss
  .balign 64
  .skip 65536
altstack_top:
  .section .note.GNU-stack,"",@progbits
