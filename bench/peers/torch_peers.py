#!/usr/bin/env python3
"""The forms of PyTorch that a Java binding lacks: out= and in-place, with every array allocated once.

Started by ./kith bench. Each line of standard input is a request, each line of standard output with the mark is its
answer:
  prepare OPERATION ROWS COLS WEIGHTS_FILE THREADS   -> ready FORM | unsupported
  run                                        -> nanoseconds
  result INDEX                               -> the element of the row-major result
The numbers in X and the gradients are those of dev.kith.bench.TestData.
"""
import sys
import time

import numpy
import torch

MARK = "kith-peer "
ETA, DECAY, MOMENTUM, BETA1, BETA2, EPSILON = 0.05, 0.01, 0.9, 0.9, 0.999, 1e-8


def matrix(stream, rows, cols):
    values = numpy.empty(rows * cols, numpy.float32)
    block = 1 << 22
    for begin in range(0, values.size, block):
        index = numpy.arange(begin, min(begin + block, values.size), dtype=numpy.uint32)
        hashed = (index + numpy.uint32(stream * 0x3C6EF35F & 0xFFFFFFFF)) * numpy.uint32(0x9E3779B1)
        signed = (hashed >> numpy.uint32(8)).astype(numpy.int32) - (1 << 23)
        values[begin : begin + index.size] = signed.astype(numpy.float32) * numpy.float32(2.0**-24)
    return torch.from_numpy(values.reshape(rows, cols))


def weights(file, rows):
    raw = open(file, "rb").read()
    offsets = numpy.frombuffer(raw, numpy.int64, rows + 1)
    count = int(offsets[-1])
    columns = numpy.frombuffer(raw, numpy.int32, count, (rows + 1) * 8)
    values = numpy.frombuffer(raw, numpy.float32, count, (rows + 1) * 8 + count * 4)
    return offsets, columns, values


def dense(file, rows):
    offsets, columns, values = weights(file, rows)
    w = numpy.zeros((rows, rows), numpy.float32)
    for i in range(rows):
        w[i, columns[offsets[i] : offsets[i + 1]]] = values[offsets[i] : offsets[i + 1]]
    return torch.from_numpy(w)


def sparse(file, rows):
    offsets, columns, values = weights(file, rows)
    return torch.sparse_csr_tensor(
        torch.from_numpy(offsets.copy()),
        torch.from_numpy(columns.astype(numpy.int64)),
        torch.from_numpy(values.copy()),
        (rows, rows),
    )


class LargestFirst:
    """A result whose order is free: its sizes, the largest first."""

    def __init__(self, values):
        self.values = values

    def view(self, _):
        return self.values.abs().sort(descending=True).values


class Decoded:
    """A result that is a message: what it stands for."""

    def __init__(self, decode):
        self.decode = decode

    def view(self, _):
        return self.decode().reshape(-1)


class Int8:
    """Codes of one byte, and a scale for each 256 elements; the last block is padded with zeros."""

    def __init__(self, x):
        self.x = in_blocks(x, 256)
        self.floats = torch.empty_like(self.x)
        self.scales = torch.empty(self.x.shape[0], 1)
        self.codes = torch.empty(self.x.shape, dtype=torch.int8)

    def quantize(self):
        torch.abs(self.x, out=self.floats)
        torch.amax(self.floats, 1, keepdim=True, out=self.scales)
        self.scales.div_(127)
        torch.div(self.x, self.scales, out=self.floats).round_()
        self.codes.copy_(self.floats)

    def decode(self):
        return self.floats.copy_(self.codes).mul_(self.scales)


def in_blocks(x, block):
    blocks = -(-x.numel() // block)
    padded = torch.zeros(blocks * block)
    padded[: x.numel()] = x.reshape(-1)
    return padded.view(blocks, block)


def qsgd4(x):
    """Two codes in a byte; 7 levels of the 2-norm of 512 elements."""
    x = in_blocks(x, 512)
    levels, uniforms, scales = torch.empty_like(x), torch.empty_like(x), torch.empty(x.shape[0], 1)
    codes = torch.empty(x.shape, dtype=torch.uint8)
    packed = torch.empty(x.shape[0], 256, dtype=torch.uint8)
    signed = torch.empty(x.shape, dtype=torch.int8)

    def run():
        torch.linalg.vector_norm(x, dim=1, keepdim=True, out=scales)
        scales.div_(7)
        uniforms.uniform_()
        torch.abs(x, out=levels)
        levels.div_(scales).add_(uniforms).floor_()
        torch.copysign(levels, x, out=levels)
        signed.copy_(levels)
        torch.bitwise_and(signed.view(torch.uint8), 15, out=codes)
        torch.bitwise_left_shift(codes[:, 1::2], 4, out=packed)
        packed.bitwise_or_(codes[:, ::2])

    def decode():
        low, high = packed & 15, packed >> 4
        both = torch.stack((low, high), 2).view(x.shape).to(torch.int16)
        return (both - 16 * (both > 7)) * scales

    return run, Decoded(decode)


def sign_pack(x):
    """Eight elements in a byte: eight booleans are one integer, which a product packs into its upper byte."""
    bits = torch.empty(-(-x.numel() // 8) * 8, dtype=torch.bool)
    words = bits.view(torch.int64)
    product, packed = torch.empty_like(words), torch.empty(words.shape, dtype=torch.uint8)

    def run():
        torch.ge(x, 0, out=bits[: x.numel()])
        torch.mul(words, 0x0102040810204080, out=product)
        product.bitwise_right_shift_(56)
        packed.copy_(product)

    return run, packed


def soap(rows, cols):
    """Ten steps on one square matrix a row, matrix by matrix; the gradients are diagonal."""
    side = round(cols**0.5)
    eta, decay, kept, epsilon = 3e-3, 0.01, 0.95, 1e-8
    x = matrix(0, rows, cols).view(rows, side, side)
    i = torch.arange(side)
    g = torch.zeros(rows, side, side)
    for row in range(rows):
        g[row, i, i] = (1 - 2 * (i % 2)) * (1 + ((i * 37 + row) % 251) / 256)
    m, v, left, right = (torch.zeros(rows, side, side) for _ in range(4))
    bases = torch.zeros(2, rows, side, side)
    a, b, c, triangle = (torch.empty(side, side) for _ in range(4))
    count = 0

    def refresh(s, q, v, dim):
        torch.mm(s, q, out=a)
        torch.mul(q, a, out=b)
        order = torch.argsort(b.sum(0), descending=True)
        torch.linalg.qr(a.index_select(1, order), out=(q, triangle))
        v.copy_(v.index_select(dim, order))

    def step():
        nonlocal count
        for k in range(rows):
            gk, ql, qr = g[k], bases[0, k], bases[1, k]
            if count == 0:
                torch.mm(gk, gk.t(), out=left[k])
                torch.mm(gk.t(), gk, out=right[k])
                ql.copy_(torch.linalg.eigh(left[k]).eigenvectors)
                qr.copy_(torch.linalg.eigh(right[k]).eigenvectors)
                continue
            weight = (1 - kept) / (1 - kept**count)
            torch.mm(ql.t(), gk, out=a)
            torch.mm(a, qr, out=b)
            m[k].lerp_(gk, weight)
            torch.mm(ql.t(), m[k], out=a)
            torch.mm(a, qr, out=c)
            v[k].mul_(1 - weight).addcmul_(b, b, value=weight)
            torch.sqrt(v[k], out=a).add_(epsilon)
            c.div_(a)
            torch.mm(ql, c, out=a)
            x[k].addmm_(a, qr.t(), beta=1 - eta * decay, alpha=-eta)
            left[k].addmm_(gk, gk.t(), beta=kept, alpha=1 - kept)
            right[k].addmm_(gk.t(), gk, beta=kept, alpha=1 - kept)
            if count % 10 == 0:
                refresh(left[k], ql, v[k], 0)
                refresh(right[k], qr, v[k], 1)
        count += 1

    def run():
        for _ in range(10):
            step()

    return run, x


def unpacked(packed, cols):
    ones = (packed.view(-1, 1) >> torch.arange(8, dtype=torch.uint8)) & 1
    return ones.view(-1)[:cols].float() * 2 - 1


def sign_majority(x):
    rows = torch.stack([pack_once(row) for row in x])
    moved = torch.empty_like(rows)
    counts = torch.empty(rows.shape[1], dtype=torch.uint8)
    most, packed = torch.empty_like(counts, dtype=torch.bool), torch.zeros_like(counts)
    bit = torch.empty_like(counts)

    def run():
        packed.zero_()
        for k in range(8):
            torch.bitwise_right_shift(rows, k, out=moved)
            moved.bitwise_and_(1)
            torch.sum(moved, 0, dtype=torch.uint8, out=counts)
            torch.ge(counts, (len(x) + 1) // 2, out=most)
            torch.bitwise_left_shift(most.view(torch.uint8), k, out=bit)
            packed.bitwise_or_(bit)

    return run, packed


def pack_once(row):
    run, packed = sign_pack(row)
    run()
    return packed


def curvature(operation, rows, cols):
    x, g, h = (matrix(stream, rows, cols) for stream in (0, 1, 2))
    m, v, t, u = (torch.zeros_like(x) for _ in range(4))
    step = [0]

    def adahessian():
        step[0] += 1
        first, second = 1 - BETA1 ** step[0], 1 - BETA2 ** step[0]
        m.mul_(BETA1).add_(g, alpha=1 - BETA1)
        v.mul_(BETA2).addcmul_(h, h, value=1 - BETA2)
        torch.sqrt(v, out=t)
        t.div_(second**0.5).add_(1e-4)
        x.addcdiv_(m, t, value=-ETA / first)

    def sophia():
        m.mul_(BETA1).add_(g, alpha=1 - BETA1)
        torch.mul(h, 4, out=t).clamp_(min=1e-3)
        torch.div(m, t, out=t).clamp_(-1, 1)
        x.add_(t, alpha=-ETA)

    def oasis():
        # The signs lie ready; Kith makes them anew.
        v.mul_(BETA1).addcmul_(signs, h, value=1 - BETA1)
        torch.abs(v, out=t).clamp_(min=1e-3)
        torch.sub(x, m, out=u)
        torch.dot(u.mul_(u).view(-1), t.view(-1))
        torch.sub(g, before, out=u)
        u.mul_(u).div_(t).sum()
        m.copy_(x)
        x.addcdiv_(g, t, value=-ETA)

    def cg():
        torch.dot(r.view(-1), r.view(-1))
        torch.dot(r.view(-1), h.view(-1))
        m.mul_(BETA1).add_(r)
        v.mul_(BETA1).add_(h)
        x.add_(m, alpha=ETA)
        r.sub_(v, alpha=ETA)

    if operation == "oasis":
        signs, before = matrix(2, rows, cols).sign_(), matrix(3, rows, cols)
    r = g
    return x, {"adahessian": adahessian, "sophia": sophia, "oasis": oasis, "cg": cg}[operation]


def prepare(operation, rows, cols, file):
    """Returns the form used, a function that computes once, and the tensor of results."""
    if operation in ("mix-ring", "mix-er8", "mix-dense") and rows <= 256:
        w, x = dense(file, rows), matrix(0, rows, cols)
        y = torch.empty_like(x)
        return "mm(out=)", lambda: torch.mm(w, x, out=y), y
    if operation == "mix-regular4":
        w, x = sparse(file, rows), matrix(0, rows, cols)
        y = torch.zeros_like(x)
        return "addmm(sparse CSR, out=)", lambda: torch.addmm(y, w, x, beta=0, alpha=1, out=y), y
    if operation == "atc-ring":
        w, x, g = dense(file, rows), matrix(0, rows, cols), matrix(1, rows, cols)
        inner, y = torch.empty_like(x), torch.empty_like(x)

        def atc():
            torch.sub(x, g, alpha=ETA, out=inner)
            torch.mm(w, inner, out=y)

        return "sub(out=), mm(out=)", atc, y
    if operation == "rownorm":
        x, y = matrix(0, rows, cols), torch.empty(rows)
        return "linalg.vector_norm(out=)", lambda: torch.linalg.vector_norm(x, dim=1, out=y), y
    if operation == "consensus":
        x = matrix(0, rows, cols)
        mean, difference, y = torch.empty(1, cols), torch.empty_like(x), torch.empty(1)

        def consensus():
            torch.mean(x, 0, keepdim=True, out=mean)
            torch.sub(x, mean, out=difference)
            y[0] = torch.linalg.vector_norm(difference) ** 2 / rows

        return "mean(out=), sub(out=), vector_norm", consensus, y
    if operation == "gram":
        x = matrix(0, rows, cols)
        y, t = torch.empty(rows, rows), x.t()
        return "mm(out=)", lambda: torch.mm(x, t, out=y), y
    if operation in ("adamw", "adamw-bf16grad"):
        x, g = matrix(0, rows, cols), matrix(1, rows, cols)
        if operation == "adamw-bf16grad":
            g = g.bfloat16()
        m, v, t = torch.zeros_like(x), torch.zeros_like(x), torch.empty_like(x)
        step = [0]

        def adamw():
            step[0] += 1
            first, second = 1 - BETA1 ** step[0], 1 - BETA2 ** step[0]
            x.mul_(1 - ETA * DECAY)
            m.mul_(BETA1).add_(g, alpha=1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            torch.sqrt(v, out=t)
            t.div_(second**0.5).add_(EPSILON)
            x.addcdiv_(m, t, value=-ETA / first)

        return "in place", adamw, x
    if operation == "heavy-ball":
        x, g = matrix(0, rows, cols), matrix(1, rows, cols)
        v = torch.zeros_like(x)

        def heavy_ball():
            v.mul_(MOMENTUM).add_(g, alpha=ETA)
            x.sub_(v)

        return "in place", heavy_ball, x
    if operation in ("adahessian", "sophia", "oasis", "cg"):
        x, run = curvature(operation, rows, cols)
        return "in place", run, x
    if operation == "lbfgs-m10":
        # Points and gradients that swap their places, as Kith's; every pair is formed anew, the oldest goes.
        here, g = matrix(0, rows, cols).view(-1), matrix(1, rows, cols).view(-1)
        there, opposite, d = here - g, -g, torch.empty_like(g)
        s = [g * (-1) ** k for k in range(10)]
        y = [2 * g * (-1) ** k for k in range(10)]
        sy = [torch.dot(s[k], y[k]).item() for k in range(10)]
        slot = [0]

        def two_loops():
            k = slot[0]
            slot[0] = (k + 1) % 10
            torch.sub(here, there, out=s[k])
            torch.sub(g, opposite, out=y[k])
            sy[k] = torch.dot(s[k], y[k]).item()
            gamma = sy[k] / torch.dot(y[k], y[k]).item()
            d.copy_(g)
            a = [0.0] * 10
            order = [(k - j) % 10 for j in range(10)]
            for j in order:
                a[j] = torch.dot(s[j], d).item() / sy[j]
                d.add_(y[j], alpha=-a[j])
            d.mul_(gamma)
            for j in reversed(order):
                b = torch.dot(y[j], d).item() / sy[j]
                d.add_(s[j], alpha=a[j] - b)
            d.neg_()

        return "two loops of dot and add_ in place", two_loops, d
    if operation in ("topk", "topk-ef"):
        x, k = matrix(0, rows, cols).view(-1), max(1, cols // 100)
        kept = torch.zeros_like(x)
        sizes, largest = torch.empty_like(x), torch.empty(k)
        index, sent = torch.empty(k, dtype=torch.int64), torch.empty(k)

        def topk():
            v = x if operation == "topk" else kept.add_(x)
            torch.abs(v, out=sizes)
            torch.topk(sizes, k, sorted=False, out=(largest, index))
            torch.index_select(v, 0, index, out=sent)
            if operation == "topk-ef":
                kept.index_fill_(0, index, 0)

        return "abs(out=), topk(out=), index_select(out=)", topk, LargestFirst(sent)
    if operation == "multiply":
        a, b = matrix(0, rows, cols), matrix(1, rows, cols)
        c = torch.empty_like(a)
        return "mm(out=)", lambda: torch.mm(a, b, out=c), c
    if operation == "soap":
        return "loop of mm(out=), lerp_, addcmul_, addmm_, linalg.qr(out=)", *soap(rows, cols)
    if operation == "newton-schulz":
        row, col = torch.arange(rows).view(-1, 1), torch.arange(cols).view(1, -1)
        odd = torch.zeros(rows, cols, dtype=torch.int64)
        for bit in range(rows.bit_length()):
            odd ^= ((row & col) >> bit) & 1
        g = ((1.0 - 2.0 * odd) * 2.0 ** -(row % 8)).float()
        x, y = torch.empty_like(g), torch.empty_like(g)
        a, b = torch.empty(rows, rows), torch.empty(rows, rows)

        def newton_schulz():
            torch.div(g, g.norm() + 1e-7, out=y)
            source, target = y, x
            for _ in range(5):
                torch.mm(source, source.t(), out=a)
                torch.addmm(a, a, a, beta=-4.7750, alpha=2.0315, out=b)
                torch.addmm(source, b, source, beta=3.4445, out=target)
                source, target = target, source

        return "mm(out=), addmm(out=)", newton_schulz, x
    if operation == "powersgd-r4":
        side = round(cols**0.5)
        m, start = matrix(0, 1, cols).view(side, side), matrix(1, 4, side).t()
        p, q, y = torch.empty(side, 4), torch.empty(side, 4), torch.empty(side, side)
        basis, triangle, turned = torch.empty(side, 4), torch.empty(4, 4), m.t()

        def power_sgd():
            torch.mm(m, start, out=p)
            torch.linalg.qr(p, out=(basis, triangle))
            torch.mm(turned, basis, out=q)
            torch.mm(basis, q.t(), out=y)

        return "mm(out=), linalg.qr(out=)", power_sgd, y
    if operation == "int8-quantize":
        int8 = Int8(matrix(0, rows, cols))
        return "abs(out=), amax(out=), div(out=), round_, copy_", int8.quantize, Decoded(int8.decode)
    if operation == "int8-accumulate":
        int8, y = Int8(matrix(0, rows, cols)), in_blocks(matrix(1, rows, cols), 256)
        int8.quantize()

        def accumulate():
            int8.floats.copy_(int8.codes)
            y.addcmul_(int8.floats, int8.scales)

        return "copy_, addcmul_", accumulate, y
    if operation == "qsgd4":
        run, decoded = qsgd4(matrix(0, rows, cols))
        return "vector_norm(out=), uniform_, div_, floor_, shifts in place", run, decoded
    if operation == "sign-pack":
        x = matrix(0, rows, cols).view(-1)
        run, packed = sign_pack(x)
        return "ge(out=), mul(out=), shift in place", run, Decoded(lambda: unpacked(packed, x.numel()))
    if operation == "sign-majority":
        run, packed = sign_majority(matrix(0, rows, cols))
        return "shift(out=), sum(out=), ge(out=)", run, Decoded(lambda: unpacked(packed, cols))
    if operation == "round-int8-ring":
        w, x = dense(file, rows), matrix(0, rows, cols)
        int8, y = Int8(x), torch.empty_like(x)

        def compressed_round():
            int8.quantize()
            torch.mm(w, int8.decode().view(-1)[: x.numel()].view(rows, cols), out=y)

        return "abs(out=), amax(out=), div(out=), round_, copy_, mul_, mm(out=)", compressed_round, y
    if operation == "normal":
        y = torch.zeros(rows, cols)
        torch.manual_seed(1)
        return "normal_", lambda: y.normal_(), y
    if operation == "convert-bf16":
        x = matrix(0, rows, cols)
        y = torch.empty(rows, cols, dtype=torch.bfloat16)
        return "copy_", lambda: y.copy_(x), y
    return None


def main():
    task = None

    def answer(text):
        print(MARK + text, flush=True)

    answer("ready python3-torch " + torch.__version__)
    for line in sys.stdin:
        request = line.split()
        if request[0] == "prepare":
            torch.set_num_threads(int(request[5]))
            task = prepare(request[1], int(request[2]), int(request[3]), request[4])
            if task is None:
                answer("unsupported")
            else:
                answer("ready python3-torch %s %s, %d threads" % (torch.__version__, task[0], torch.get_num_threads()))
        elif request[0] == "run":
            begin = time.perf_counter_ns()
            task[1]()
            answer(str(time.perf_counter_ns() - begin))
        elif request[0] == "result":
            answer(repr(float(task[2].view(-1)[int(request[1])])))


if __name__ == "__main__":
    with torch.no_grad():
        main()
