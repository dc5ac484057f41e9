/* cfrac STEPS: the first steps of factoring a number by continued fractions, with numbers of any
   length that are counted references to blocks of malloc. Each operation makes a new number.

   Written for this benchmark; the program of the same name in mimalloc-bench has the same shape. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTION __attribute__((noinline, noclone))

/* Digits of 16 bits, least significant first, without leading zeros. */
typedef struct {
    uint32_t references, length;
    uint16_t digits[];
} Number;

FUNCTION static Number *reserve(uint32_t length) {
    Number *number = malloc(sizeof *number + length * sizeof(uint16_t));
    if (!number) abort();
    number->references = 1;
    number->length = length;
    return number;
}

static void drop(Number *number) {
    if (--number->references == 0) free(number);
}

static void assign(Number **to, Number *number) {
    drop(*to);
    *to = number;
}

static Number *share(Number *number) {
    number->references++;
    return number;
}

static Number *trimmed(Number *number) {
    while (number->length && number->digits[number->length - 1] == 0) number->length--;
    return number;
}

FUNCTION static Number *from(uint32_t value) {
    Number *number = reserve(2);
    number->digits[0] = (uint16_t)value;
    number->digits[1] = (uint16_t)(value >> 16);
    return trimmed(number);
}

static int compare(const Number *a, const Number *b) {
    if (a->length != b->length) return a->length < b->length ? -1 : 1;
    for (uint32_t i = a->length; i-- > 0;)
        if (a->digits[i] != b->digits[i]) return a->digits[i] < b->digits[i] ? -1 : 1;
    return 0;
}

FUNCTION static Number *add(const Number *a, const Number *b) {
    if (a->length < b->length) return add(b, a);
    Number *sum = reserve(a->length + 1);
    uint32_t carry = 0;
    for (uint32_t i = 0; i < a->length; i++) {
        carry += a->digits[i] + (i < b->length ? (uint32_t)b->digits[i] : 0);
        sum->digits[i] = (uint16_t)carry;
        carry >>= 16;
    }
    sum->digits[a->length] = (uint16_t)carry;
    return trimmed(sum);
}

/* a is not less than b. */
FUNCTION static Number *subtract(const Number *a, const Number *b) {
    Number *rest = reserve(a->length);
    int32_t borrow = 0;
    for (uint32_t i = 0; i < a->length; i++) {
        borrow += (int32_t)a->digits[i] - (i < b->length ? b->digits[i] : 0);
        rest->digits[i] = (uint16_t)borrow;
        borrow >>= 16;
    }
    return trimmed(rest);
}

FUNCTION static Number *multiply(const Number *a, const Number *b) {
    Number *product = reserve(a->length + b->length);
    memset(product->digits, 0, product->length * sizeof(uint16_t));
    for (uint32_t i = 0; i < a->length; i++) {
        uint32_t carry = 0;
        for (uint32_t j = 0; j < b->length; j++) {
            carry += (uint32_t)a->digits[i] * b->digits[j] + product->digits[i + j];
            product->digits[i + j] = (uint16_t)carry;
            carry >>= 16;
        }
        product->digits[i + b->length] = (uint16_t)carry;
    }
    return trimmed(product);
}

/* Quotient and remainder of a division by a single digit. */
FUNCTION static Number *divide_small(const Number *a, uint16_t by, uint32_t *rest) {
    Number *quotient = reserve(a->length);
    uint32_t carry = 0;
    for (uint32_t i = a->length; i-- > 0;) {
        carry = carry << 16 | a->digits[i];
        quotient->digits[i] = (uint16_t)(carry / by);
        carry %= by;
    }
    *rest = carry;
    return trimmed(quotient);
}

static Number *shifted(const Number *a, int bits) {
    Number *result = reserve(a->length + 1);
    uint32_t carry = 0;
    for (uint32_t i = 0; i < a->length; i++) {
        carry |= (uint32_t)a->digits[i] << bits;
        result->digits[i] = (uint16_t)carry;
        carry >>= 16;
    }
    result->digits[a->length] = (uint16_t)carry;
    return result;
}

/* Knuth's algorithm D. The remainder replaces *a, and the quotient is returned. */
FUNCTION static Number *divide(Number **a, const Number *b) {
    if (compare(*a, b) < 0) return from(0);
    if (b->length == 1) {
        uint32_t rest;
        Number *quotient = divide_small(*a, b->digits[0], &rest);
        assign(a, from(rest));
        return quotient;
    }
    int bits = __builtin_clz(b->digits[b->length - 1]) - 16;
    Number *u = shifted(*a, bits), *v = trimmed(shifted(b, bits));
    uint32_t n = v->length, m = u->length - n;
    Number *quotient = reserve(m);
    for (uint32_t j = m; j-- > 0;) {
        uint32_t top = (uint32_t)u->digits[j + n] << 16 | u->digits[j + n - 1];
        uint32_t guess = top / v->digits[n - 1], rest = top % v->digits[n - 1];
        while (guess > 0xFFFF || guess * v->digits[n - 2] > (rest << 16 | u->digits[j + n - 2])) {
            guess--;
            rest += v->digits[n - 1];
            if (rest > 0xFFFF) break;
        }
        int32_t borrow = 0;
        uint32_t carry = 0;
        for (uint32_t i = 0; i <= n; i++) {
            carry += i < n ? guess * v->digits[i] : 0;
            borrow += (int32_t)u->digits[i + j] - (int32_t)(carry & 0xFFFF);
            u->digits[i + j] = (uint16_t)borrow;
            borrow >>= 16;
            carry >>= 16;
        }
        if (borrow < 0) {
            guess--;
            carry = 0;
            for (uint32_t i = 0; i <= n; i++) {
                carry += u->digits[i + j] + (i < n ? (uint32_t)v->digits[i] : 0);
                u->digits[i + j] = (uint16_t)carry;
                carry >>= 16;
            }
        }
        quotient->digits[j] = (uint16_t)guess;
    }
    trimmed(u);
    Number *rest = reserve(u->length);
    uint32_t carry = 0;
    for (uint32_t i = u->length; i-- > 0;) {
        carry = carry << 16 | u->digits[i];
        rest->digits[i] = (uint16_t)(carry >> bits);
    }
    drop(u);
    drop(v);
    assign(a, trimmed(rest));
    return trimmed(quotient);
}

FUNCTION static Number *modulo(Number *a, const Number *b) {
    Number *rest = share(a);
    drop(divide(&rest, b));
    return rest;
}

/* The integer square root, by Newton's method from above. */
static Number *square_root(Number *number) {
    Number *root = share(number), *two = from(2);
    for (;;) {
        Number *over = share(number);
        Number *quotient = divide(&over, root);
        Number *sum = add(root, quotient);
        Number *next = divide(&sum, two);
        drop(over), drop(quotient), drop(sum);
        if (compare(next, root) >= 0) {
            drop(next), drop(two);
            return root;
        }
        assign(&root, next);
    }
}

static Number *parse(const char *text) {
    Number *number = from(0), *ten = from(10);
    for (; *text; text++) {
        Number *digit = from((uint32_t)(*text - '0')), *tens = multiply(number, ten);
        assign(&number, add(tens, digit));
        drop(digit), drop(tens);
    }
    drop(ten);
    return number;
}

static const uint16_t primes[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53};

/* Whether the number has no factors but small ones. */
FUNCTION static int is_smooth(Number *number) {
    Number *left = share(number);
    for (size_t i = 0; i < sizeof primes / sizeof *primes; i++)
        for (;;) {
            uint32_t rest;
            Number *quotient = divide_small(left, primes[i], &rest);
            if (rest || !left->length) {
                drop(quotient);
                break;
            }
            assign(&left, quotient);
        }
    int smooth = left->length == 1 && left->digits[0] == 1;
    drop(left);
    return smooth;
}

/* Whether a * a is q or -q, by turns, modulo n: holds for every step of the expansion. */
static int is_right(Number *a, Number *q, Number *n, long step) {
    Number *square = multiply(a, a), *rest = modulo(square, n);
    Number *wanted = step % 2 ? subtract(n, q) : share(q);
    int right = compare(rest, wanted) == 0;
    drop(square), drop(rest), drop(wanted);
    return right;
}

/* Expands the square root of n; prints how many smooth residues are among the first steps. */
FUNCTION static int expand(Number *n, long steps) {
    Number *root = square_root(n), *p = share(root), *square = multiply(root, root);
    Number *before = from(1), *q = subtract(n, square), *a_before = from(1), *a = share(root);
    long smooth = 0;
    for (long step = 1; step <= steps; step++) {
        if (step % 1000 == 0 && !is_right(a, q, n, step)) return 1;
        smooth += is_smooth(q);
        Number *sum = add(root, p), *quotient = divide(&sum, q);
        Number *next_p = subtract(root, sum);
        Number *more = compare(p, next_p) >= 0 ? subtract(p, next_p) : subtract(next_p, p);
        Number *change = multiply(quotient, more);
        Number *next_q = compare(p, next_p) >= 0 ? add(before, change) : subtract(before, change);
        Number *product = multiply(quotient, a), *total = add(product, a_before);
        Number *next_a = modulo(total, n);
        drop(sum), drop(quotient), drop(more), drop(change), drop(product), drop(total);
        assign(&p, next_p), assign(&before, q), assign(&a_before, a);
        q = next_q, a = next_a;
    }
    printf("%ld smooth residues\n", smooth);
    drop(root), drop(p), drop(square), drop(before), drop(q), drop(a_before), drop(a);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    Number *n = parse("1000000000000000000000007");
    int wrong = expand(n, atol(argv[1]));
    drop(n);
    return wrong;
}
