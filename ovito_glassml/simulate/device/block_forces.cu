// Embedded-atom forces on all atoms of a glass by one block of threads; other files go on from here.
//
// Two species in a cubic periodic cell, a Finnis-Sinclair potential whose mixed density is the same both ways.
// Pair arithmetic is done in `real` and `real4`, set when this is compiled. The knots of the tables are in single
// precision and the polynomials between them meet smoothly, so energy and forces fit together in any precision.
// Every sum has a fixed order, so that equal input gives equal bits. Units: Å, eV.

struct Potential {
    const float4 *pairs;      // [3][intervals + 1]: pair energy, its slope, density, its slope, in intervals of r²
    const double *embedding;  // [2][rows][4]: coefficients in intervals of the density
    double per_density;
    double per_square, reach, near_reach;  // 1/Å²; squared Å: where everything, and where the densities, have ended
    int intervals, rows;
};

// What one block works with: global memory of its glass, and shared memory.
struct Block {
    const unsigned char *kinds;
    real4 *listed_at;     // [atom], where the neighbours were listed
    ushort4 *neighbours;  // [room / 4][atom], near ones from the front, others from the back
    int *counts;          // [atom][2], both multiples of 4
    const real *density;  // [atom], what atoms outside the lists contribute; null: nothing
    int atoms, room;
    int moving;  // so many atoms move, the first ones; lists of others hold moving neighbours alone, and only near ones
    real length, per_length, skin;
    float4 *table;  // of pairs
    real4 *places;  // x, y, z in the cell and species
    real *slopes;   // of the embedding energy
    double *sums;   // scratch of reductions
};

extern __shared__ float4 shared_memory[];

__device__ void share_memory(const Potential &potential, Block &own) {
    const int knots = 3 * (potential.intervals + 1);
    own.table = shared_memory;
    own.places = (real4 *)(own.table + knots);
    own.sums = (double *)(own.places + own.atoms);
    own.slopes = (real *)(own.sums + blockDim.x);
    for (int k = threadIdx.x; k < knots; k += blockDim.x) own.table[k] = potential.pairs[k];
    __syncthreads();
}

__device__ double sum_over_block(double value, double *sums) {
    sums[threadIdx.x] = value;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    const double total = sums[0];
    __syncthreads();
    return total;
}

__device__ void place(const Block &own, int atom, double x, double y, double z) {
    const double length = own.length;
    real4 inside;
    inside.x = (real)(x - length * floor(x / length));
    inside.y = (real)(y - length * floor(y / length));
    inside.z = (real)(z - length * floor(z / length));
    inside.w = (real)own.kinds[atom];
    own.places[atom] = inside;
}

// Vector from one place to the nearest image of another, and its square.
__device__ real4 vector_between(const Block &own, const real4 &from, const real4 &to) {
    real4 path;
    path.x = to.x - from.x, path.y = to.y - from.y, path.z = to.z - from.z;
    path.x -= own.length * rint(path.x * own.per_length);
    path.y -= own.length * rint(path.y * own.per_length);
    path.z -= own.length * rint(path.z * own.per_length);
    path.w = path.x * path.x + path.y * path.y + path.z * path.z;
    return path;
}

// Whether an atom has come so far from where its neighbours were listed that the list may lack some.
__device__ int has_moved(const Block &own, int atom) {
    return vector_between(own, own.listed_at[atom], own.places[atom]).w > (real)0.25 * own.skin * own.skin;
}

// Lists all neighbours; empty places in the last group of four hold the atom itself. The longest list is
// returned, so that the caller sees whether the room was enough.
__device__ int list_neighbours(const Potential &potential, const Block &own) {
    const real reach = sqrt((real)potential.reach) + own.skin, near_reach = sqrt((real)potential.near_reach) + own.skin;
    unsigned short *list = (unsigned short *)own.neighbours;
    int longest = 0;
    for (int i = threadIdx.x; i < own.atoms; i += blockDim.x) {
        const real4 centre = own.places[i];
        const bool still = i >= own.moving;
        const int partners = still ? own.moving : own.atoms;
        const real limit = still ? near_reach * near_reach : reach * reach;
        int near = 0, far = 0;
        for (int j = 0; j < partners; j++) {
            const real square = vector_between(own, centre, own.places[j]).w;
            if (square >= limit || j == i || near + far >= own.room - 8) continue;
            const int entry = square < near_reach * near_reach ? near++ : own.room - 1 - far++;
            list[((size_t)(entry / 4) * own.atoms + i) * 4 + entry % 4] = (unsigned short)j;
        }
        longest = max(longest, near + far);
        for (; near % 4; near++) list[((size_t)(near / 4) * own.atoms + i) * 4 + near % 4] = (unsigned short)i;
        for (; far % 4; far++) {
            const int entry = own.room - 1 - far;
            list[((size_t)(entry / 4) * own.atoms + i) * 4 + entry % 4] = (unsigned short)i;
        }
        own.counts[2 * i] = near;
        own.counts[2 * i + 1] = far;
        own.listed_at[i] = centre;
    }
    return longest;
}

struct Knots {
    float4 low, high;
    real t;
};

__device__ Knots knots_at(const Potential &potential, const Block &own, real pair, real square) {
    const real place = square * (real)potential.per_square;
    const int interval = (int)place;
    const float4 *low = own.table + (int)pair * (potential.intervals + 1) + interval;
    return Knots{low[0], low[1], place - interval};
}

__device__ real hermite(real low, real low_slope, real high, real high_slope, real t) {
    const real rise = high - low;
    return low + t * (low_slope + t * (3 * rise - 2 * low_slope - high_slope + t * (low_slope + high_slope - 2 * rise)));
}

__device__ real hermite_slope(real low, real low_slope, real high, real high_slope, real t) {
    const real rise = high - low;
    return low_slope + t * (2 * (3 * rise - 2 * low_slope - high_slope) + 3 * t * (low_slope + high_slope - 2 * rise));
}

// Density that one neighbour brings to an atom.
__device__ real density_from(const Potential &potential, const Block &own, const real4 &centre, int j) {
    const real4 other = own.places[j];
    const real square = vector_between(own, centre, other).w;
    if (square >= (real)potential.near_reach || square == 0) return 0;
    const Knots k = knots_at(potential, own, centre.w + other.w, square);
    return hermite(k.low.z, k.low.w, k.high.z, k.high.w, k.t);
}

// Density at an atom.
__device__ real density_at(const Potential &potential, const Block &own, int i) {
    const real4 centre = own.places[i];
    const int groups = own.counts[2 * i] / 4;
    real density = own.density ? own.density[i] : 0;
    for (int group = 0; group < groups; group++) {
        const ushort4 four = own.neighbours[(size_t)group * own.atoms + i];
        density += density_from(potential, own, centre, four.x);
        density += density_from(potential, own, centre, four.y);
        density += density_from(potential, own, centre, four.z);
        density += density_from(potential, own, centre, four.w);
    }
    return density;
}

// Slopes of the embedding energy of all atoms; returns the energy of the thread's atoms.
__device__ double embed(const Potential &potential, const Block &own) {
    double energy = 0.0;
    for (int i = threadIdx.x; i < own.atoms; i += blockDim.x) {
        const double place = density_at(potential, own, i) * potential.per_density;
        const int interval = min((int)place, potential.rows - 1);
        const double t = place - interval;
        const double *c = potential.embedding + ((size_t)own.kinds[i] * potential.rows + interval) * 4;
        own.slopes[i] = (real)((c[1] + t * (2 * c[2] + 3 * t * c[3])) * potential.per_density);
        energy += c[0] + t * (c[1] + t * (c[2] + t * c[3]));
    }
    return energy;
}

// Adds the force that one neighbour exerts and, into w, the energy of the pair, half of it where the neighbour adds
// the other half. `near` says whether the
// embedding can take part.
template <bool near>
__device__ void add_force(const Potential &potential, const Block &own, const real4 &centre, real slope, int j,
                          real4 &force) {
    const real4 other = own.places[j];
    const real4 to = vector_between(own, centre, other);
    if (to.w >= (real)potential.reach || to.w == 0) return;
    const Knots k = knots_at(potential, own, centre.w + other.w, to.w);
    real total = hermite_slope(k.low.x, k.low.y, k.high.x, k.high.y, k.t);
    if (near) total += (slope + own.slopes[j]) * hermite_slope(k.low.z, k.low.w, k.high.z, k.high.w, k.t);
    total *= 2 * (real)potential.per_square;  // of the energy over r², times twice the vector
    force.x += total * to.x;
    force.y += total * to.y;
    force.z += total * to.z;
    force.w += (j < own.moving ? (real)0.5 : 1) * hermite(k.low.x, k.low.y, k.high.x, k.high.y, k.t);
}

// Force on a moving atom and, in w, the energy of its pairs.
__device__ real4 force_on(const Potential &potential, const Block &own, int i) {
    const real4 centre = own.places[i];
    const real slope = own.slopes[i];
    const int near = own.counts[2 * i] / 4, far = own.counts[2 * i + 1] / 4;
    real4 force;
    force.x = force.y = force.z = force.w = 0;
    for (int group = 0; group < near; group++) {
        const ushort4 four = own.neighbours[(size_t)group * own.atoms + i];
        add_force<true>(potential, own, centre, slope, four.x, force);
        add_force<true>(potential, own, centre, slope, four.y, force);
        add_force<true>(potential, own, centre, slope, four.z, force);
        add_force<true>(potential, own, centre, slope, four.w, force);
    }
    for (int group = own.room / 4 - far; group < own.room / 4; group++) {
        const ushort4 four = own.neighbours[(size_t)group * own.atoms + i];
        add_force<false>(potential, own, centre, slope, four.x, force);
        add_force<false>(potential, own, centre, slope, four.y, force);
        add_force<false>(potential, own, centre, slope, four.z, force);
        add_force<false>(potential, own, centre, slope, four.w, force);
    }
    return force;
}
