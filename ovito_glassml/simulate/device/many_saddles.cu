// Saddle searches, one block of threads each; goes on from block_forces.cu.
//
// The method is that of saddle_search.py, step by step; see there for what the constants decide and why. Atoms are
// numbered by their distance from the centre of a search, so that the first ones move. Vectors have 3 N numbers,
// all x first. Units: Å, eV.

#define REMEMBERED 12     // steps of L-BFGS
#define LARGEST_BASIS 12  // vectors of Lanczos
#define NEAREST 32        // atoms around the centre whose places at the saddle are told
#define FAILED 1
#define DISCONNECTED 2
#define CONNECTED 3

struct Settings {
    double push, curvature, stride, force_tolerance, relaxed;  // as in SearchSettings
    double compliance, longest, slide, same, probe, yielded;   // the module's constants
    int yielding, pushes, strides;
};

struct Searches {
    const double *positions;    // [atom][3], the minimum
    const unsigned char *kinds;
    const double *densities;    // [atom], at the minimum
    const int *order;           // [centre][atom], by distance
    const int *moving;          // [centre], how many atoms move
    const double *directions;   // [search][room_pushed][3], of unit length together, in the order of the centre
    const int *centres;         // [search]
    int *outcomes, *calls;      // [search]
    double *barriers;           // [search], eV
    float *displacements;       // [search][NEAREST][3], from the minimum to the saddle
    double *vectors;            // [block][number of vectors][3 N]
    real *fixed_densities;      // [block][atom]
    unsigned char *own_kinds;   // [block][atom]
    real4 *listed_at;           // of all blocks, as in Block
    ushort4 *neighbours;
    int *counts;
    int *next, *longest;        // first search that nobody has taken; longest list
    double length, skin;
    int atoms, room, searches, room_pushed;
};

struct Search : Block {
    double *home, *x, *force, *mode, *direction, *old, *step, *probe, *probed, *saddle;
    double *steps, *changes, *basis;
    real *fixed_density;
    unsigned char *own_kinds;
    int calls, needed;
};
#define VECTORS (10 + 2 * REMEMBERED + LARGEST_BASIS)

// Steps and changes of the gradient lie in the Search; here is how many, and their products.
struct Memory {
    int taken;
    double products[REMEMBERED];
};

// Every thread keeps to its own atoms, so vectors need no barriers.
#define EACH(e)                                                            \
    for (int atom_ = threadIdx.x; atom_ < own.moving; atom_ += blockDim.x) \
        for (int e = atom_; e < 3 * own.atoms; e += own.atoms)

__device__ double dot(const Search &own, const double *a, const double *b) {
    double sum = 0.0;
    EACH(e) sum += a[e] * b[e];
    return sum_over_block(sum, own.sums);
}

// Largest length among the three-vectors of a, or of a − b.
__device__ double largest(const Search &own, const double *a, const double *b = nullptr) {
    double found = 0.0;
    for (int i = threadIdx.x; i < own.moving; i += blockDim.x) {
        double square = 0.0;
        for (int e = i; e < 3 * own.atoms; e += own.atoms) {
            const double value = b ? a[e] - b[e] : a[e];
            square += value * value;
        }
        found = fmax(found, square);
    }
    own.sums[threadIdx.x] = found;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) own.sums[threadIdx.x] = fmax(own.sums[threadIdx.x], own.sums[threadIdx.x + half]);
        __syncthreads();
    }
    found = own.sums[0];
    __syncthreads();
    return sqrt(found);
}

__device__ void shorten(const Search &own, double *step, double longest) {
    const double length = largest(own, step);
    if (length > longest) EACH(e) step[e] *= longest / length;
}

// Energy at x, and the force there.
__device__ double evaluate(const Potential &potential, Search &own, const double *x, double *force) {
    const int n = own.atoms;
    int moved = 0;
    for (int i = threadIdx.x; i < own.moving; i += blockDim.x) {
        place(own, i, x[i], x[n + i], x[2 * n + i]);
        moved |= has_moved(own, i);
    }
    if (__syncthreads_or(moved)) own.needed = max(own.needed, list_neighbours(potential, own));
    double energy = embed(potential, own);
    __syncthreads();
    for (int i = threadIdx.x; i < own.moving; i += blockDim.x) {
        const real4 found = force_on(potential, own, i);
        force[i] = found.x, force[n + i] = found.y, force[2 * n + i] = found.z;
        energy += found.w;
    }
    own.calls++;
    return sum_over_block(energy, own.sums);
}

// Adds a step and the change of the gradient over it, unless the curvature along it is not positive.
__device__ void remember(const Search &own, Memory &memory, const double *step, const double *change) {
    const double product = dot(own, step, change);
    if (product <= 1e-3 * dot(own, step, step)) {
        memory.taken = 0;
        return;
    }
    const int place = memory.taken % REMEMBERED;
    memory.products[place] = product;
    double *steps = own.steps + (size_t)place * 3 * own.atoms, *changes = own.changes + (size_t)place * 3 * own.atoms;
    EACH(e) steps[e] = step[e], changes[e] = change[e];
    memory.taken++;
}

// Step of L-BFGS for a force; without memory along the force.
__device__ void downhill(const Search &own, const Settings &settings, const Memory &memory, const double *force,
                         double *step) {
    const int known = min(memory.taken, REMEMBERED), newest = memory.taken - 1;
    const size_t size = 3 * (size_t)own.atoms;
    const double first = known ? 1.0 : settings.compliance;
    EACH(e) step[e] = first * force[e];
    if (!known) return;
    double shares[REMEMBERED];
    for (int back = 0; back < known; back++) {
        const int place = (newest - back) % REMEMBERED;
        const double *steps = own.steps + place * size, *changes = own.changes + place * size;
        shares[back] = dot(own, steps, step) / memory.products[place];
        EACH(e) step[e] -= shares[back] * changes[e];
    }
    const double *last = own.changes + (newest % REMEMBERED) * size;
    const double factor = memory.products[newest % REMEMBERED] / dot(own, last, last);
    EACH(e) step[e] *= factor;
    for (int back = known - 1; back >= 0; back--) {
        const int place = (newest - back) % REMEMBERED;
        const double *steps = own.steps + place * size, *changes = own.changes + place * size;
        const double share = dot(own, changes, step) / memory.products[place];
        EACH(e) step[e] += (shares[back] - share) * steps[e];
    }
}

// Moves x to the minimum below; stops early where all atoms are within `near` of the home.
__device__ void relax(const Potential &potential, const Settings &settings, Search &own, const double *home, double *x,
                      int steps, double near) {
    Memory memory;
    memory.taken = 0;
    double energy = evaluate(potential, own, x, own.force);
    for (int k = 0; k < steps; k++) {
        if (largest(own, own.force) < settings.relaxed || largest(own, x, home) < near) break;
        downhill(own, settings, memory, own.force, own.step);
        if (dot(own, own.step, own.force) <= 0.0) {
            memory.taken = 0;
            EACH(e) own.step[e] = settings.compliance * own.force[e];
        }
        shorten(own, own.step, settings.longest);
        EACH(e) own.old[e] = own.force[e], x[e] += own.step[e];
        double after = evaluate(potential, own, x, own.force);
        if (after > energy + 0.01) {  // too long a step: back, and along the force
            memory.taken = 0;
            EACH(e) x[e] -= own.step[e], own.step[e] = 0.25 * settings.compliance * own.old[e];
            shorten(own, own.step, 0.25 * settings.longest);
            EACH(e) x[e] += own.step[e];
            after = evaluate(potential, own, x, own.force);
        } else {
            EACH(e) own.old[e] -= own.force[e];
            remember(own, memory, own.step, own.old);
        }
        energy = after;
    }
}

// Lowest eigenvalue of a symmetric tridiagonal matrix by bisection, and its vector.
__device__ double lowest_of_tridiagonal(const double *diagonal, const double *beside, int size, double *vector) {
    double low = diagonal[0], high = diagonal[0];
    for (int k = 0; k < size; k++) {
        const double reach = (k ? fabs(beside[k - 1]) : 0.0) + (k + 1 < size ? fabs(beside[k]) : 0.0);
        low = fmin(low, diagonal[k] - reach);
        high = fmin(high, diagonal[k]);
    }
    for (int halving = 0; halving < 60; halving++) {
        const double middle = 0.5 * (low + high);
        bool below = false;  // whether an eigenvalue is
        double pivot = 1.0;
        for (int k = 0; k < size && !below; k++) {
            pivot = diagonal[k] - middle - (k ? beside[k - 1] * beside[k - 1] / pivot : 0.0);
            below = pivot <= 0.0;
        }
        (below ? high : low) = middle;
    }
    double length = 1.0;
    vector[0] = 1.0;
    for (int k = 1; k < size; k++) {
        const double before = k > 1 ? beside[k - 2] * vector[k - 2] : 0.0;
        vector[k] = ((low - diagonal[k - 1]) * vector[k - 1] - before) / beside[k - 1];
        length += vector[k] * vector[k];
    }
    for (int k = 0; k < size; k++) vector[k] /= sqrt(length);
    return low;
}

// Lowest curvature (eV/Å²) at x, where the force is own.force, and into own.mode its direction, by Lanczos.
__device__ double lowest_mode(const Potential &potential, const Settings &settings, Search &own, const double *x,
                              int vectors, double accuracy) {
    const size_t size = 3 * (size_t)own.atoms;
    double diagonal[LARGEST_BASIS], beside[LARGEST_BASIS], lowest = 0.0;
    int used = 0;
    double length = sqrt(dot(own, own.mode, own.mode));
    EACH(e) own.basis[e] = own.mode[e] / length;
    for (int k = 0; k < vectors; k++) {
        const double *newest = own.basis + k * size;
        EACH(e) own.probe[e] = x[e] + settings.probe * newest[e];
        evaluate(potential, own, own.probe, own.probed);
        EACH(e) own.probed[e] = (own.force[e] - own.probed[e]) / settings.probe;
        diagonal[k] = dot(own, newest, own.probed);
        used = k + 1;
        if (threadIdx.x == 0) own.sums[0] = lowest_of_tridiagonal(diagonal, beside, used, own.sums + 1);
        __syncthreads();
        const double found = own.sums[0], change = fabs(found - lowest);
        lowest = found;
        __syncthreads();
        if (used == vectors || (k > 0 && change < accuracy * fmax(fabs(lowest), 0.1))) break;
        for (int earlier = 0; earlier <= k; earlier++) {
            const double *other = own.basis + earlier * size;
            const double share = dot(own, other, own.probed);
            EACH(e) own.probed[e] -= share * other[e];
        }
        length = sqrt(dot(own, own.probed, own.probed));
        if (length < 1e-6) break;
        beside[k] = length;
        double *next = own.basis + (k + 1) * size;
        EACH(e) next[e] = own.probed[e] / length;
    }
    if (threadIdx.x == 0) lowest_of_tridiagonal(diagonal, beside, used, own.sums + 1);
    __syncthreads();
    double shares[LARGEST_BASIS];
    for (int k = 0; k < used; k++) shares[k] = own.sums[1 + k];
    __syncthreads();
    EACH(e) {
        double sum = 0.0;
        for (int k = 0; k < used; k++) sum += shares[k] * own.basis[k * size + e];
        own.mode[e] = sum;
    }
    length = sqrt(dot(own, own.mode, own.mode));
    EACH(e) own.mode[e] /= length;
    return lowest;
}

// Some steps of relaxation perpendicular to a direction; own.force goes along. Returns the energy.
__device__ double relax_across(const Potential &potential, const Settings &settings, Search &own, double *x,
                               double energy, const double *direction, int steps, double tolerance, Memory &memory) {
    for (int k = 0; k < steps; k++) {
        double along = dot(own, own.force, direction);
        EACH(e) own.old[e] = own.force[e] - along * direction[e];
        if (largest(own, own.old) < tolerance) break;
        downhill(own, settings, memory, own.old, own.step);
        const double share = dot(own, own.step, direction);
        EACH(e) own.step[e] -= share * direction[e];
        shorten(own, own.step, settings.longest);
        EACH(e) x[e] += own.step[e];
        energy = evaluate(potential, own, x, own.force);
        along = dot(own, own.force, direction);
        EACH(e) own.old[e] -= own.force[e] - along * direction[e];
        remember(own, memory, own.step, own.old);
    }
    return energy;
}

__device__ void turn_if(const Search &own, bool wrong) {
    if (wrong) EACH(e) own.mode[e] *= -1;
}

// Follows the mode, from where the curvature along it is negative, to the saddle.
__device__ bool ascend(const Potential &potential, const Settings &settings, Search &own, double &energy,
                       double &curvature) {
    Memory memory;
    memory.taken = 0;
    for (int stride = 0; stride < settings.strides; stride++) {
        const double along = dot(own, own.force, own.mode);
        double length = curvature < 0 ? -along / fabs(curvature) : (along > 0 ? -settings.stride : settings.stride);
        length = fmin(fmax(length, -settings.stride), settings.stride);
        EACH(e) own.x[e] += length * own.mode[e];
        energy = evaluate(potential, own, own.x, own.force);
        const double tolerance = fmax(0.5 * fabs(dot(own, own.force, own.mode)), 0.5 * settings.force_tolerance);
        energy = relax_across(potential, settings, own, own.x, energy, own.mode, 1 + stride / 2, tolerance, memory);
        EACH(e) own.direction[e] = own.mode[e];
        curvature = lowest_mode(potential, settings, own, own.x, 5, 0.02);
        turn_if(own, dot(own, own.mode, own.direction) < 0);
        if (largest(own, own.force) < settings.force_tolerance && curvature < 0) return true;
    }
    return false;
}

// Climbs from the minimum along own.direction; the saddle goes into own.x and its mode into own.mode.
__device__ bool climb(const Potential &potential, const Settings &settings, Search &own, double &energy,
                      double &curvature) {
    EACH(e) own.x[e] = own.home[e], own.mode[e] = own.direction[e];
    Memory memory;
    bool found = false;
    for (int push = 0; push < settings.pushes && !found; push++) {
        EACH(e) own.x[e] += settings.push * own.direction[e];
        energy = evaluate(potential, own, own.x, own.force);
        memory.taken = 0;
        energy = relax_across(potential, settings, own, own.x, energy, own.direction, 1 + push / 2, 0.05, memory);
        if (push < 1) continue;
        curvature = lowest_mode(potential, settings, own, own.x, push == 1 ? 12 : 6, 0.02);
        found = curvature < settings.curvature;
    }
    if (!found) return false;
    EACH(e) own.probe[e] = own.x[e] - own.home[e];
    turn_if(own, dot(own, own.mode, own.probe) < 0);
    return ascend(potential, settings, own, energy, curvature);
}

// Places, kinds and fixed densities for a number of moving atoms, all at home.
__device__ void settle(const Searches &all, const Potential &potential, Search &own, const int *order, int moving) {
    const int n = own.atoms;
    own.moving = moving;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        for (int axis = 0; axis < 3; axis++) own.home[axis * n + i] = all.positions[3 * order[i] + axis];
        own.own_kinds[i] = all.kinds[order[i]];
        place(own, i, own.home[i], own.home[n + i], own.home[2 * n + i]);
        own.fixed_density[i] = 0;
    }
    __syncthreads();
    own.needed = max(own.needed, list_neighbours(potential, own));
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        if (i >= moving) own.fixed_density[i] = (real)(all.densities[order[i]] - density_at(potential, own, i));
    __syncthreads();
}

// The saddle own.x with the mode own.mode once more, now that all atoms may yield to it. Returns whether it still
// is the same one.
__device__ bool refine(const Searches &all, const Potential &potential, const Settings &settings, Search &own,
                       const int *order, double &barrier) {
    const int moved = own.moving;
    EACH(e) own.saddle[e] = own.x[e];
    settle(all, potential, own, order, own.atoms);
    for (int i = threadIdx.x; i < own.atoms; i += blockDim.x)
        if (i >= moved)
            for (int e = i; e < 3 * own.atoms; e += own.atoms) own.x[e] = own.home[e], own.mode[e] = 0.0;
    const double lowest = evaluate(potential, own, own.home, own.force);
    double energy = evaluate(potential, own, own.x, own.force);
    Memory memory;
    memory.taken = 0;
    energy = relax_across(potential, settings, own, own.x, energy, own.mode, settings.yielding,
                          settings.force_tolerance, memory);
    double curvature = lowest_mode(potential, settings, own, own.x, 8, 0.02);
    bool found = largest(own, own.force) < settings.force_tolerance && curvature < 0;
    if (!found) found = ascend(potential, settings, own, energy, curvature);
    barrier = energy - lowest;
    own.moving = moved;
    return found && largest(own, own.x, own.saddle) < settings.yielded;
}

// One search; returns its outcome.
__device__ int search(const Searches &all, const Potential &potential, const Settings &settings, Search &own,
                      const int *order, double &barrier) {
    const double lowest = evaluate(potential, own, own.home, own.force);
    double energy = 0.0, curvature = 1.0;
    if (!climb(potential, settings, own, energy, curvature)) return FAILED;
    barrier = energy - lowest;
    EACH(e) own.saddle[e] = own.x[e];
    bool at_home[2];
    for (int side = 0; side < 2; side++) {
        const double slide = side ? settings.slide : -settings.slide;
        EACH(e) own.x[e] = own.saddle[e] + slide * own.mode[e];
        relax(potential, settings, own, own.home, own.x, 500, 0.5 * settings.same);
        at_home[side] = largest(own, own.x, own.home) < settings.same;
    }
    if (at_home[0] == at_home[1]) return DISCONNECTED;
    EACH(e) own.x[e] = own.saddle[e];
    // Below the minimum, atoms further out have fallen into another valley.
    return refine(all, potential, settings, own, order, barrier) && barrier > 0 ? CONNECTED : DISCONNECTED;
}

__device__ Search search_of_block(const Searches &all, const Potential &potential) {
    Search own;
    const size_t first = (size_t)blockIdx.x * all.atoms, size = 3 * (size_t)all.atoms;
    own.atoms = all.atoms, own.room = all.room;
    own.kinds = own.own_kinds = all.own_kinds + first;
    own.density = own.fixed_density = all.fixed_densities + first;
    own.listed_at = all.listed_at + first;
    own.neighbours = all.neighbours + first * (all.room / 4);
    own.counts = all.counts + 2 * first;
    own.length = all.length, own.per_length = 1 / all.length, own.skin = all.skin;
    double *vector = all.vectors + (size_t)blockIdx.x * VECTORS * size;
    double **each[] = {&own.home, &own.x,      &own.force, &own.mode,   &own.direction, &own.old,
                       &own.step,   &own.probe, &own.probed, &own.saddle};
    for (double **one : each) *one = vector, vector += size;
    own.steps = vector, own.changes = vector + REMEMBERED * size, own.basis = vector + 2 * REMEMBERED * size;
    own.needed = 0;
    share_memory(potential, own);
    return own;
}

extern "C" __global__ void __launch_bounds__(256, 2)
searches(const Searches *tasks, const Settings *how, const Potential *functions) {
    const Searches all = *tasks;
    const Settings settings = *how;
    const Potential potential = *functions;
    Search own = search_of_block(all, potential);
    while (true) {
        if (threadIdx.x == 0) own.sums[0] = atomicAdd(all.next, 1);
        __syncthreads();
        const int number = (int)own.sums[0];
        __syncthreads();
        if (number >= all.searches) break;
        const int centre = all.centres[number];
        const int *order = all.order + (size_t)centre * own.atoms;
        settle(all, potential, own, order, all.moving[centre]);
        EACH(e) {
            const int axis = e / own.atoms, atom = e % own.atoms;
            const double *direction = all.directions + (size_t)number * 3 * all.room_pushed;
            own.direction[e] = atom < all.room_pushed ? direction[3 * atom + axis] : 0.0;
        }
        own.calls = 0;
        double barrier = 0.0;
        const int outcome = search(all, potential, settings, own, order, barrier);
        for (int i = threadIdx.x; i < NEAREST; i += blockDim.x)
            for (int axis = 0; axis < 3; axis++)
                all.displacements[((size_t)number * NEAREST + i) * 3 + axis] =
                    (float)(own.saddle[axis * own.atoms + i] - own.home[axis * own.atoms + i]);
        if (threadIdx.x == 0) {
            all.outcomes[number] = outcome;
            all.calls[number] = own.calls;
            all.barriers[number] = barrier;
        }
        __syncthreads();
    }
    atomicMax(all.longest, own.needed);
}
